"""The truth about two ReLU networks, to test `verify` against: rational logits, and confidences to 70 digits.

Nothing here is shared with `verify`, and nothing is rounded without saying so. `exact` evaluates networks on rationals, `pieces` cuts a
line into the pieces on which both are affine, `decisions` and `maximum` answer for a whole line, `truth` for a box, `confidences` has the
softmax. `cases` and `families` make the pairs that the soundness campaign and the tests ask about; `adapters` hands them to `verify`.
"""
