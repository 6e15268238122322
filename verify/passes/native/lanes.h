/* Rows in lanes: what the loops share. Each of them defines REAL, the type of its numbers, and WHOLE, the integer of that size, and then works on
   as many rows at a time as a register has lanes. Every array of lanes is [number][LANES]; rows come and go as [row][number]. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "constants.h"

#if defined(__AVX512F__)
#define REGISTER 64
#elif defined(__AVX2__)
#define REGISTER 32
#else
#define REGISTER 16
#endif

#define LANES (REGISTER / (int)sizeof(REAL))
#define SIGN_BIT ((WHOLE)1 << (8 * sizeof(WHOLE) - 1))

typedef REAL reals __attribute__((vector_size(REGISTER)));
typedef WHOLE wholes __attribute__((vector_size(REGISTER)));

/* Networks side by side. sizes [networks][depth], 0 beyond a network's last layer; weights: of the later layers, [output][input];
   turned [inputs][firsts]: the stacked first layers, transposed. */
struct networks {
    int64_t count, depth, width, firsts, inputs, classes;
    const int64_t *sizes;
    const REAL *weights, *biases, *turned;
};

/* The lines of all neurons, and the numbers of one pass. */
struct pass {
    reals *above, *intercept, *below, *multiplier, *outputs, *inputs; /* [width]; coefficients of each neuron's output and input */
    reals *first;                                                     /* [firsts]: coefficients of the first layers' outputs */
    reals *one, *other;                                               /* scratch, [widest] */
    int64_t *active;                                                  /* [firsts]: those that some lane uses */
};

static inline reals all(REAL x) { return (reals){0} + x; }
static inline reals pick(wholes mask, reals a, reals b) { return (reals)((mask & (wholes)a) | (~mask & (wholes)b)); }
static inline reals larger(reals a, reals b) { return pick(a > b, a, b); }
static inline reals smaller(reals a, reals b) { return pick(a < b, a, b); }
static inline reals size_of(reals a) { return (reals)((wholes)a & ~SIGN_BIT); }
static inline reals signed_as(reals size, reals sign) { return (reals)(((wholes)size & ~SIGN_BIT) | ((wholes)sign & SIGN_BIT)); }

static inline void to_lanes(const REAL *rows, int64_t stride, int64_t numbers, reals *lanes, int count) {
    for (int lane = 0; lane < LANES; lane++)
        for (int64_t j = 0; j < numbers; j++) lanes[j][lane] = rows[(lane < count ? lane : 0) * stride + j];
}

/* The numbers of the rows at `index`. */
static inline void lanes_of(const REAL *rows, const int64_t *index, int64_t numbers, reals *lanes, int count) {
    const REAL *row[LANES];
    for (int lane = 0; lane < LANES; lane++) row[lane] = rows + index[lane < count ? lane : 0] * numbers;
    for (int64_t j = 0; j < numbers; j++) {
        reals of_all;
        for (int lane = 0; lane < LANES; lane++) of_all[lane] = row[lane][j];
        lanes[j] = of_all;
    }
}

static inline void to_rows(const reals *lanes, int64_t numbers, REAL *rows, int count) {
    for (int64_t j = 0; j < numbers; j++)
        for (int lane = 0; lane < count; lane++) rows[lane * numbers + j] = lanes[j][lane];
}

/* The number of all networks' outputs, and the size of the widest layer. */
static inline void measure_networks(const struct networks *net, int64_t *results, int64_t *widest) {
    *results = 0, *widest = net->firsts;
    for (int64_t k = 0; k < net->count; k++)
        for (int64_t layer = 0; layer < net->depth; layer++) {
            int64_t size = net->sizes[k * net->depth + layer];
            if (size > *widest) *widest = size;
            if (size > 0 && (layer + 1 == net->depth || net->sizes[k * net->depth + layer + 1] == 0)) *results += size;
        }
}

/* Send the forms [results] back to the first layers' outputs; returns the constant that lines and biases add, but for the first layers'. */
static inline reals send_back(const struct networks *net, struct pass *p, const reals *forms) {
    reals constant = all(0), *a = p->one, *c = p->other;
    const REAL *weights = net->weights, *biases = net->biases;
    int64_t place = 0, first = 0;
    for (int64_t k = 0; k < net->count; k++) {
        const int64_t *sizes = net->sizes + k * net->depth;
        int64_t depth = 1, width = sizes[0], count = 0;
        for (; depth < net->depth && sizes[depth] > 0; depth++) width += sizes[depth], count += sizes[depth - 1] * sizes[depth];
        int64_t last = sizes[depth - 1], neuron = place + width - last, bias = width - last;
        const REAL *w = weights + count;
        for (int64_t i = 0; i < last; i++) a[i] = *forms++;
        for (int64_t layer = depth - 1; layer > 0; layer--) {
            int64_t size = sizes[layer], fewer = sizes[layer - 1];
            w -= size * fewer, neuron -= fewer;
            for (int64_t i = 0; i < size; i++) constant += a[i] * biases[bias + i];
            for (int64_t m = 0; m < fewer; m++) {
                reals sum = all(0);
                for (int64_t i = 0; i < size; i++) sum += a[i] * w[i * fewer + m];
                c[m] = sum;
            }
            bias -= fewer;
            for (int64_t m = 0; m < fewer; m++) {
                int64_t j = neuron + m;
                wholes rising = c[m] > 0;
                p->outputs[j] = c[m];
                constant += pick(rising, c[m] * p->intercept[j], all(0));
                p->inputs[j] = a[m] = p->multiplier[j] + c[m] * pick(rising, p->above[j], p->below[j]);
            }
        }
        for (int64_t m = 0; m < sizes[0]; m++) p->first[first + m] = a[m];
        first += sizes[0], place += width - last, weights += count, biases += width;
    }
    return constant;
}

/* Find the first layers' outputs that some lane uses; returns how many. */
static inline int64_t find_active(struct pass *p, int64_t firsts) {
    int64_t count = 0;
    for (int64_t i = 0; i < firsts; i++) {
        int used = 0;
        for (int lane = 0; lane < LANES; lane++) used |= p->first[i][lane] != 0;
        if (used) p->active[count++] = i;
    }
    return count;
}

/* The coefficients of the inputs m to m + 3, or of those that there are; returns how many. */
static inline int coefficients_of_inputs(const struct networks *net, const struct pass *p, int64_t active, int64_t m, reals *t) {
    int64_t firsts = net->firsts;
    const REAL *w = net->turned + m * firsts;
    if (m + 4 <= net->inputs) {
        reals t0 = all(0), t1 = t0, t2 = t0, t3 = t0;
        for (int64_t s = 0; s < active; s++) {
            int64_t i = p->active[s];
            reals a = p->first[i];
            t0 += a * w[i], t1 += a * w[firsts + i], t2 += a * w[2 * firsts + i], t3 += a * w[3 * firsts + i];
        }
        t[0] = t0, t[1] = t1, t[2] = t2, t[3] = t3;
        return 4;
    }
    int count = (int)(net->inputs - m);
    for (int q = 0; q < count; q++, w += firsts) {
        t[q] = all(0);
        for (int64_t s = 0; s < active; s++) t[q] += p->first[p->active[s]] * w[p->active[s]];
    }
    return count;
}
