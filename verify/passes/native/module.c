/* An extension module that holds the kernels for one instruction set: Python loads it, verify/passes/native calls what it exports. */

#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#define QUOTED(name) #name
#define NAME(name) QUOTED(name)

/* The best instruction set of this processor, among those that there are modules for. */
const char *best_target(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) {
        int wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
        return wide && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd") ? "_avx512" : "_avx2";
    }
#endif
    return "_baseline";
}

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = NAME(MODULE), .m_doc = "The kernels of verify.passes.native for one instruction set.", .m_size = -1,
};

PyMODINIT_FUNC INITIALISE(void) { return PyModule_Create(&definition); }
