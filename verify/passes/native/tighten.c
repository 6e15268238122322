/* The boxes of unstable neurons and logit differences cut to where a row's query can still exceed its level: what verify/joint/tightening.py does
   with tensors, in float64 from beginning to end, as many bounds of one row at a time as a register has lanes. Every bound is rounded outward.

   A bound is sought for sign * z of a variable: its coefficients go back through the layers to the input, and with a multiplier mu >= 0
       constant + mu offset + sum_m radius_m |t_m + mu g_m|
   is proved, t the variable's coefficients at the input and g the cut's; offset: the cut at the center of the region, less the level. */

#define REAL double
#define WHOLE int64_t
#include "lanes.h"

struct regions {
    const double *middle, *radius, *errors; /* [images][firsts], [images][inputs], [images][all outputs]: rounding, see rounding.py */
    double relative, tiny;                  /* rounding of the sum of the intercepts, and of what underflows */
};

struct cuts {
    int64_t n, columns;
    const int64_t *image, *label;
    const double *coefficients, *offset, *slack; /* [n][inputs], [n], [n] */
    float *lower, *upper;                        /* [n][columns], narrowed in place */
};

static float rounded_up(double x) {
    float y = (float)x;
    return (double)y < x ? nextafterf(y, INFINITY) : y;
}

/* The lines of one network's ReLUs in one row. */
struct lines {
    double *above, *below, *intercept;
};

static void relax(const struct lines *lines, int64_t j, double low, double high) {
    lines->intercept[j] = 0;
    lines->above[j] = lines->below[j] = low >= 0;
    if (!(low >= 0 || high <= 0)) { /* what is not a number gives lines that are none */
        double slope = high / (high - low), left = -slope * low, right = high - slope * high;
        lines->above[j] = slope;
        lines->below[j] = high > -low;
        lines->intercept[j] = (left > right ? left : right) + 4 * 0x1p-52 * (high - low);
    }
}

/* Up to a register of variables of one layer, each with a sign. */
struct sought {
    int count;
    int64_t neuron[LANES];
    double sign[LANES];
};

struct scratch {
    reals *a, *c, *t;
    double *weighted;
};

/* Send the variables' coefficients back to the first layer's outputs, in scratch->a; returns the constant and adds the rounding error. */
static reals descend(
    const struct lines *lines, const struct sought *sought, int64_t label, int64_t layer, const int64_t *sizes, const double *weights,
    const double *biases, const double *errors, double relative, struct scratch *s, reals *error
) {
    reals constant = all(0), *a = s->a, *c = s->c;
    const double *w = weights;
    int64_t output = 0, neuron = 0;
    for (int64_t k = 0; k < layer; k++) w += sizes[k] * sizes[k + 1], output += sizes[k], neuron += sizes[k];
    for (int64_t i = 0; i < sizes[layer]; i++) a[i] = all(0);
    for (int lane = 0; lane < LANES; lane++) {
        int used = lane < sought->count ? lane : 0;
        a[sought->neuron[used]][lane] = sought->sign[used];
        if (label >= 0) a[label][lane] = -sought->sign[used];
    }
    for (int64_t k = layer; k > 0; k--) {
        int64_t size = sizes[k], fewer = sizes[k - 1];
        w -= size * fewer;
        neuron -= fewer;
        for (int64_t m = 0; m < fewer; m++) c[m] = all(0);
        for (int64_t i = 0; i < size; i++) {
            reals factor = a[i];
            int64_t any = 0;
            for (int lane = 0; lane < LANES; lane++) any |= factor[lane] != 0;
            if (!any) continue;
            constant += factor * biases[output + i];
            *error += size_of(factor) * errors[output + i];
            for (int64_t m = 0; m < fewer; m++) c[m] += factor * w[i * fewer + m];
        }
        reals lifted = all(0);
        for (int64_t m = 0; m < fewer; m++) {
            wholes rising = c[m] > 0;
            int64_t j = neuron + m;
            lifted += pick(rising, c[m] * lines->intercept[j], all(0));
            a[m] = c[m] * pick(rising, all(lines->above[j]), all(lines->below[j]));
        }
        constant += lifted;
        *error += relative * lifted;
        output -= fewer;
    }
    return constant;
}

/* The coefficients of all inputs, times their radius. */
static void reach_inputs(const struct networks *net, const reals *a, int64_t first, int64_t size, const double *radius, reals *t) {
    int64_t m = 0;
    for (; m + 4 <= net->inputs; m += 4) {
        const double *w = net->turned + m * net->firsts + first;
        const double *w1 = w + net->firsts, *w2 = w1 + net->firsts, *w3 = w2 + net->firsts;
        reals t0 = all(0), t1 = t0, t2 = t0, t3 = t0;
        for (int64_t i = 0; i < size; i++) t0 += a[i] * w[i], t1 += a[i] * w1[i], t2 += a[i] * w2[i], t3 += a[i] * w3[i];
        t[m] = t0 * radius[m], t[m + 1] = t1 * radius[m + 1], t[m + 2] = t2 * radius[m + 2], t[m + 3] = t3 * radius[m + 3];
    }
    for (; m < net->inputs; m++) {
        reals sum = all(0);
        for (int64_t i = 0; i < size; i++) sum += a[i] * net->turned[m * net->firsts + first + i];
        t[m] = sum * radius[m];
    }
}

/* Multipliers near the best, by regula falsi on the slope of the bound, estimated on the first SAMPLE inputs. */
static reals multipliers(const reals *t, const double *weighted, int64_t inputs, double reach, double offset) {
    int64_t some = inputs < SAMPLE ? inputs : SAMPLE;
    double share = (double)inputs / (double)some;
    reals total = all(0), at_low = all(0);
    for (int64_t m = 0; m < some; m++) {
        total += size_of(t[m]);
        at_low += pick(t[m] > 0, all(weighted[m]), all(-weighted[m]));
    }
    at_low = at_low * share + offset;
    wholes useful = at_low < 0;
    reals low = all(0), high = 4 * total / (reach > 1e-30 ? reach : 1e-30), at_high = all(reach * share + offset), part;
    for (int k = 0; k < EVALUATIONS; k++) {
        part = at_low / (at_low - at_high);
        part = k == 0 ? all(0.1) : pick(part < 0.1, all(0.1), pick(part > 0.9, all(0.9), part));
        reals mu = low + (high - low) * part, slope = all(0);
        for (int64_t m = 0; m < some; m++) slope += pick(t[m] + mu * weighted[m] > 0, all(weighted[m]), all(-weighted[m]));
        slope = slope * share + offset;
        wholes falling = slope < 0;
        low = pick(falling, mu, low), at_low = pick(falling, slope, at_low);
        high = pick(falling, high, mu), at_high = pick(falling, at_high, slope);
    }
    part = at_low / (at_low - at_high);
    reals mu = low + (high - low) * pick(part > 0, pick(part < 1, part, all(1)), all(0));
    return pick(useful & (mu < INFINITY), mu, all(0));
}

/* Bound the variables of one layer and narrow the row's boxes at `columns`. */
static void narrow(
    const struct networks *net, const struct regions *regions, struct cuts *cuts, int64_t row, const struct sought *sought, const int64_t *columns,
    const struct lines *lines, int64_t label, int64_t layer, const int64_t *sizes, const double *weights, const double *biases, int64_t first,
    int64_t outputs, double reach, struct scratch *s
) {
    int64_t image = cuts->image[row], all_outputs = 0;
    for (int64_t k = 0; k < net->count * net->depth; k++) all_outputs += net->sizes[k];
    const double *errors = regions->errors + image * all_outputs + outputs, *middle = regions->middle + image * net->firsts + first;
    reals error = all(regions->tiny);
    reals constant = descend(lines, sought, label, layer, sizes, weights, biases, errors, regions->relative, s, &error);
    for (int64_t i = 0; i < sizes[0]; i++) constant += s->a[i] * middle[i], error += size_of(s->a[i]) * errors[i];
    reach_inputs(net, s->a, first, sizes[0], regions->radius + image * net->inputs, s->t);
    reals mu = multipliers(s->t, s->weighted, net->inputs, reach, cuts->offset[row]), value = all(0);
    for (int64_t m = 0; m < net->inputs; m++) value += size_of(s->t[m] + mu * s->weighted[m]);
    reals bound = constant + mu * cuts->offset[row] + value + 2 * error + mu * cuts->slack[row];
    for (int lane = 0; lane < sought->count; lane++) {
        if (!isfinite(bound[lane])) continue; /* what overflowed proves nothing */
        float *low = cuts->lower + row * cuts->columns + columns[lane], *high = cuts->upper + row * cuts->columns + columns[lane];
        if (sought->sign[lane] > 0 && bound[lane] < *high) *high = rounded_up(bound[lane]);
        if (sought->sign[lane] < 0 && -bound[lane] > *low) *low = -rounded_up(bound[lane]);
    }
}

/* Narrow the boxes of all rows, layer after layer, each relaxed with the boxes just found. Returns 0, or 1 when memory is short. */
int tighten_rows(const struct networks *net, const struct regions *regions, struct cuts *cuts) {
    int64_t widest = 0;
    for (int64_t k = 0; k < net->count * net->depth; k++)
        if (net->sizes[k] > widest) widest = net->sizes[k];
    reals *memory = aligned_alloc(sizeof(reals), (size_t)(2 * widest + net->inputs) * sizeof(reals));
    double *numbers = malloc((size_t)(3 * net->width + net->inputs + 1) * sizeof(double));
    if (!memory || !numbers) {
        free(memory), free(numbers);
        return 1;
    }
    struct scratch s = {memory, memory + widest, memory + 2 * widest, numbers + 3 * net->width};
    for (int64_t row = 0; row < cuts->n; row++) {
        const double *radius = regions->radius + cuts->image[row] * net->inputs;
        double reach = 0;
        for (int64_t m = 0; m < net->inputs; m++) {
            s.weighted[m] = cuts->coefficients[row * net->inputs + m] * radius[m];
            if (m < SAMPLE) reach += fabs(s.weighted[m]);
        }
        const double *weights = net->weights, *biases = net->biases;
        float *lower = cuts->lower + row * cuts->columns, *upper = cuts->upper + row * cuts->columns;
        int64_t place = 0, first = 0, outputs = 0, label = cuts->label[row];
        for (int64_t k = 0; k < net->count; k++) {
            const int64_t *sizes = net->sizes + k * net->depth;
            struct lines lines = {numbers + place, numbers + net->width + place, numbers + 2 * net->width + place};
            int64_t start = place, layer = 0;
            for (; layer < net->depth && sizes[layer] > 0; layer++) {
                int last = layer + 1 == net->depth || sizes[layer + 1] == 0;
                if (last && label < 0) break; /* no form of the outputs is kept */
                int64_t begin = last ? net->width + k * net->classes : place, columns[LANES];
                struct sought sought = {0, {0}, {0}};
                for (int64_t j = 0; j < sizes[layer]; j++) {
                    float low = lower[begin + j], high = upper[begin + j];
                    int wanted = last ? j != label && low < high : low < 0 && high > 0;
                    for (int side = 0; wanted && side < 2; side++) {
                        columns[sought.count] = begin + j, sought.neuron[sought.count] = j;
                        sought.sign[sought.count++] = side ? -1 : 1;
                    }
                    if (sought.count > 0 && (sought.count == LANES || j + 1 == sizes[layer])) {
                        narrow(net, regions, cuts, row, &sought, columns, &lines, last ? label : -1, layer, sizes, weights, biases, first,
                               outputs, reach, &s);
                        sought.count = 0;
                    }
                }
                if (last) break;
                for (int64_t j = 0; j < sizes[layer]; j++) relax(&lines, place - start + j, lower[place + j], upper[place + j]);
                place += sizes[layer];
            }
            for (int64_t m = 0; m <= layer; m++) {
                if (m > 0) weights += sizes[m - 1] * sizes[m];
                biases += sizes[m], outputs += sizes[m];
            }
            first += sizes[0];
        }
    }
    free(memory), free(numbers);
    return 0;
}
