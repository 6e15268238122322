/* What forms of networks' outputs reach over boxes of inputs, in float64: what verify/passes/bound.py does with tensors, a row a lane.

   Part of a proof, whatever the lines are: every product that enters a value meets at most `verify.rounding.addends` roundings. */

#define REAL double
#define WHOLE int64_t
#include "lanes.h"

/* Rows [n] of forms [results], each with the lines, the rounding errors and the box of inputs at an index of its own.
   above, intercept, below, multiplier [lines][width]; errors [images][width]: of the neurons' coefficients; middle, half [boxes][firsts] and
   [boxes][inputs]. Ends with value and error [n]; relative: the rounding of the sum of the intercepts. */
struct proof {
    int64_t n;
    double relative;
    const int64_t *line, *image, *box;
    const double *forms, *above, *intercept, *below, *multiplier, *errors, *middle, *half;
    double *value, *error;
};

/* The largest sum of the inputs' coefficients times what the inputs are away from the middle. */
static reals reach_inputs(const struct networks *net, struct pass *p, const reals *half) {
    int64_t active = find_active(p, net->firsts);
    reals total = all(0);
    for (int64_t m = 0; m < net->inputs; m += 4) {
        reals t[4];
        int count = coefficients_of_inputs(net, p, active, m, t);
        for (int q = 0; q < count; q++) total += size_of(t[q]) * half[m + q];
    }
    return total;
}

/* Bound all rows. Returns 0, or 1 when memory is short. */
int prove_rows(const struct networks *net, const struct proof *proof) {
    int64_t width = net->width, firsts = net->firsts, inputs = net->inputs, results, widest;
    measure_networks(net, &results, &widest);
    int64_t total = 7 * width + 2 * firsts + 2 * widest + results + inputs;
    reals *memory = aligned_alloc(sizeof(reals), (size_t)(total + 1) * sizeof(reals)), *next = memory;
    int64_t *active = malloc((size_t)(firsts + 1) * sizeof(int64_t)), loaded[LANES];
    if (!memory || !active) {
        free(memory), free(active);
        return 1;
    }
#define TAKE(count) (next += (count), next - (count))
    struct pass p = {TAKE(width), TAKE(width), TAKE(width), TAKE(width), TAKE(width), TAKE(width),
                     TAKE(firsts), TAKE(widest), TAKE(widest), active};
    reals *errors = TAKE(width), *middle = TAKE(firsts), *forms = TAKE(results), *half = TAKE(inputs);
#undef TAKE
    for (int lane = 0; lane < LANES; lane++) loaded[lane] = -1;
    for (int64_t start = 0; start < proof->n; start += LANES) {
        int lanes = proof->n - start < LANES ? (int)(proof->n - start) : LANES, moved = 0;
        const int64_t *line = proof->line + start, *box = proof->box + start;
        for (int lane = 0; lane < lanes; lane++) {
            moved |= loaded[lane] != box[lane];
            loaded[lane] = box[lane];
        }
        if (moved) {
            lanes_of(proof->half, box, inputs, half, lanes);
            lanes_of(proof->middle, box, firsts, middle, lanes);
        }
        lanes_of(proof->above, line, width, p.above, lanes), lanes_of(proof->intercept, line, width, p.intercept, lanes);
        lanes_of(proof->below, line, width, p.below, lanes), lanes_of(proof->multiplier, line, width, p.multiplier, lanes);
        lanes_of(proof->errors, proof->image + start, width, errors, lanes);
        to_lanes(proof->forms + start * results, results, results, forms, lanes);
        reals value = send_back(net, &p, forms), error = all(0), lifted = all(0);
        for (int64_t j = 0; j < width; j++) {
            error += size_of(p.inputs[j]) * errors[j];
            lifted += larger(p.outputs[j], all(0)) * p.intercept[j]; /* not a number where the line is not known, used or not */
        }
        for (int64_t i = 0; i < firsts; i++) value += p.first[i] * middle[i];
        value += reach_inputs(net, &p, half), error += proof->relative * lifted;
        to_rows(&value, 1, proof->value + start, lanes), to_rows(&error, 1, proof->error + start, lanes);
    }
    free(memory), free(active);
    return 0;
}
