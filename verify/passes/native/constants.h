/* Numbers that the loops share with the tensor code, which reads them from here (constants.py). */

/* Classes that the compiled head takes at most; differences of logits that enter its upper plane through all vertices of their box. */
#define MOST_CLASSES 10
#define VERTEX_CLASSES 9

/* Adam: the decay of both moments, and what keeps it from dividing by zero. */
#define FIRST_DECAY 0.9
#define SECOND_DECAY 0.99
#define SMALLEST_SPREAD 1e-12

/* Tightening: evaluations of the multiplier's slope, and inputs on which it is estimated. */
#define EVALUATIONS 5
#define SAMPLE 256
