"""A limit to what a network may consist of while it is built: one that a file describes cannot be larger than the file."""

from __future__ import annotations

from types import TracebackType

from torch import Tensor, nn
from torch.nn.modules import module as modules


class Budget:
    """A context in which networks are built, without values: `ValueError` ends it as soon as there are too many numbers or tensors.

    numbers, tensors: how many parameters and buffers may have together.
    """

    def __init__(self, numbers: int, tensors: int) -> None:
        self._numbers, self._tensors = numbers, tensors
        # By module and name: a parameter may be put in another's place. The module itself is kept, so that its number stays its own.
        self._sizes: dict[tuple[int, str], tuple[nn.Module, int]] = {}
        self._total = 0

    def __enter__(self) -> Budget:
        self._hooks = [
            modules.register_module_parameter_registration_hook(self._count),
            modules.register_module_buffer_registration_hook(self._count),
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    def _count(self, module: nn.Module, name: str, tensor: Tensor | None) -> None:
        if tensor is None or nn.parameter.is_lazy(tensor):
            return
        key, size = (id(module), name), tensor.numel()
        self._total += size - self._sizes.get(key, (module, 0))[1]
        self._sizes[key] = module, size
        # Twice as much: what is built and replaced under another name is counted and not kept.
        if self._total > 2 * self._numbers + 10**6 or len(self._sizes) > 2 * self._tensors + 1000:
            raise ValueError("the network is larger than the tensors of the file")
