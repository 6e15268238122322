/* Projected Adam on the free numbers of many rows: what verify/passes/bound.py does with tensors, as many rows at a time as a register has lanes.

   Nothing here is a proof: the numbers found are proved afterwards in float64. So exp and log are short polynomials.
   Every array of lanes is [number][LANES]; rows come and go as [row][number]. */

#include <string.h>

#define REAL float
#define WHOLE int32_t
#include "lanes.h"

#define MOST_VERTICES (1 << VERTEX_CLASSES)

/* The rows' bounds [n][columns], hidden neurons first, then with a head both networks' differences and LSEs; and their images' numbers. */
struct rows {
    int64_t n, columns;
    const int64_t *image, *label, *sign;
    const float *lower, *upper;
    const float *middle, *radius; /* [images][firsts], [images][inputs] */
};

/* Steps of projected Adam, the decay of its rates, and the first rate of each kind of number, as in verify/passes/optimise.py. */
struct schedule {
    int64_t steps;
    float decay, slopes, multipliers, lam, logits, nu, g;
};

/* What a search starts from and ends with, [n] each: slopes [width], free [2 + 3 classes], forms [logits], value, hidden and outputs [width],
   logits [logits], corner [inputs]. */
struct found {
    float *slopes, *free, *forms, *value, *hidden, *outputs, *logits, *corner;
};

static inline reals exponential(reals x) {
    x = larger(smaller(x, all(88.0f)), all(-87.0f));
    reals scaled = x * 1.44269504f;
    wholes whole = __builtin_convertvector(scaled + signed_as(all(0.5f), scaled), wholes);
    reals rest = x - __builtin_convertvector(whole, reals) * 0.693147181f;
    reals p = 1.0f + rest * (1.0f + rest * (0.5f + rest * (0.166666667f + rest * (0.0416666667f + rest * 0.00833333333f))));
    return p * (reals)((whole + 127) << 23);
}

static inline reals logarithm(reals x) {
    wholes bits = (wholes)larger(x, all(1.2e-38f));
    wholes power = ((bits - 0x3f3504f3) >> 23);
    reals m = (reals)(bits - (power << 23)) - 1.0f, s = m / (2.0f + m), q = s * s;
    reals p = 2.0f * s * (1.0f + q * (0.333333333f + q * (0.2f + q * (0.142857143f + q * 0.111111111f))));
    return p + __builtin_convertvector(power, reals) * 0.693147181f;
}

/* log(exp(a) + exp(b)). */
static inline reals sum_of_logarithms(reals a, reals b) { return larger(a, b) + logarithm(1.0f + exponential(-size_of(a - b))); }

static inline reals root(reals x) {
    reals y;
    for (int lane = 0; lane < LANES; lane++) y[lane] = sqrtf(x[lane]);
    return y;
}

/* The largest sigmoid(v) - lam v on [a, b] and where it is. */
static reals conjugate(reals lam, reals a, reals b, reals *place) {
    reals inside = logarithm((1.0f - 2.0f * lam + root(larger(1.0f - 4.0f * lam, all(0)))) / larger(2.0f * lam, all(1e-30f)));
    inside = pick(lam < 0.25f, smaller(larger(inside, a), b), a);
    reals ends[3] = {a, b, inside}, best = all(-INFINITY);
    for (int k = 0; k < 3; k++) {
        reals value = 1.0f / (1.0f + exponential(-ends[k])) - lam * ends[k];
        *place = pick(value > best, ends[k], *place);
        best = larger(best, value);
    }
    return best;
}

/* The head of a register of rows; classes in the order of those that are not the label. */
struct head {
    int others, sign[LANES], label[LANES];
    reals low_up[MOST_CLASSES], high_up[MOST_CLASSES], low_down[MOST_CLASSES], high_down[MOST_CLASSES];
    reals r_low_up, r_high_up, r_low_down, r_high_down, touch_up, touch_down, vertex_lse, lam_up;
    reals log_w[MOST_CLASSES], w[MOST_CLASSES], vertex[MOST_CLASSES];
    reals lse[MOST_VERTICES], heights[MOST_VERTICES];
};

static inline int class_of(int other, int label) { return other + (other >= label); }

static void head_read(struct head *h, const struct rows *rows, int64_t start, int lanes, int64_t width, int classes) {
    h->others = classes - 1;
    for (int lane = 0; lane < LANES; lane++) {
        int64_t row = start + (lane < lanes ? lane : 0);
        const float *lower = rows->lower + row * rows->columns + width, *upper = rows->upper + row * rows->columns + width;
        int label = (int)rows->label[row], sign = (int)rows->sign[row], up = sign * classes, down = (1 - sign) * classes;
        h->label[lane] = label, h->sign[lane] = sign;
        for (int j = 0; j < h->others; j++) {
            int c = class_of(j, label);
            h->low_up[j][lane] = lower[up + c], h->high_up[j][lane] = upper[up + c];
            h->low_down[j][lane] = lower[down + c], h->high_down[j][lane] = upper[down + c];
        }
        h->r_low_up[lane] = lower[2 * classes + sign], h->r_high_up[lane] = upper[2 * classes + sign];
        h->r_low_down[lane] = lower[2 * classes + 1 - sign], h->r_high_down[lane] = upper[2 * classes + 1 - sign];
    }
    reals top = all(-INFINITY);
    for (int j = 0; j < h->others; j++) top = larger(top, h->high_down[j]);
    int size = 1, wide = 0;
    for (int j = 0; j < h->others; j++) {
        wholes far = h->low_down[j] - top < -80;
        for (int lane = 0; lane < LANES; lane++) wide |= far[lane];
    }
    if (wide) { /* Exponentials would lose the vertices far below the top. */
        for (int v = 0; v < 2 && h->others > 0; v++) h->lse[v] = v ? h->high_down[0] : h->low_down[0];
        for (int j = 1; j < h->others; j++)
            for (int v = (size *= 2) - 1; v >= 0; v--) {
                reals before = h->lse[v];
                h->lse[size + v] = sum_of_logarithms(before, h->high_down[j]);
                h->lse[v] = sum_of_logarithms(before, h->low_down[j]);
            }
        return;
    }
    h->lse[0] = all(0);
    for (int j = 0; j < h->others; j++) h->lse[0] += exponential(h->low_down[j] - top);
    for (int j = 0; j < h->others; j++, size *= 2) {
        reals step = exponential(h->high_down[j] - top) - exponential(h->low_down[j] - top);
        for (int v = 0; v < size; v++) h->lse[size + v] = h->lse[v] + step;
    }
    for (int v = 0; v < size; v++) h->lse[v] = logarithm(h->lse[v]) + top;
}

/* The head's constant; fills forms, the coefficients of both networks' logits. free: lam up, lam down, logits of w, nu, g. */
static reals head_at(struct head *h, const reals *free, reals *forms, int classes) {
    int others = h->others;
    const reals *logits = free + 2, *nu = logits + others, *g = nu + others;
    reals lam_up = larger(free[0], all(0)), lam_down = larger(free[1], all(0)), highest = logits[0], total = all(0);
    h->lam_up = lam_up;
    for (int j = 1; j < others; j++) highest = larger(highest, logits[j]);
    for (int j = 0; j < others; j++) total += h->w[j] = exponential(logits[j] - highest);
    reals shift = highest + logarithm(total), entropy = all(0), value = all(0);
    reals up[MOST_CLASSES], up_sum = all(0), down_sum = all(0);
    h->heights[0] = all(0);
    int size = 1;
    for (int j = 0; j < others; j++, size *= 2) {
        h->w[j] /= total;
        h->log_w[j] = logits[j] - shift;
        entropy -= h->w[j] * h->log_w[j];
        value += larger(-nu[j] * h->low_up[j], -nu[j] * h->high_up[j]) - g[j] * h->low_down[j];
        up[j] = nu[j] - lam_up * h->w[j];
        up_sum += up[j], down_sum += g[j];
        reals fall = g[j] * (h->high_down[j] - h->low_down[j]);
        for (int v = 0; v < size; v++) h->heights[size + v] = h->heights[v] - fall;
    }
    reals best = all(-INFINITY);
    wholes place = {0};
    for (int v = 0; v < size; v++) {
        reals height = h->heights[v] + lam_down * h->lse[v];
        wholes above = height > best;
        best = larger(best, height);
        place = (above & v) | (~above & place);
    }
    for (int lane = 0; lane < LANES; lane++) h->vertex_lse[lane] = h->lse[place[lane]][lane];
    for (int j = 0; j < others; j++) h->vertex[j] = pick(((place >> j) & 1) == 1, h->high_down[j], h->low_down[j]);
    value += best + conjugate(lam_up, -h->r_high_up, -h->r_low_up, &h->touch_up) - lam_up * entropy;
    value += conjugate(lam_down, h->r_low_down, h->r_high_down, &h->touch_down) - 1.0f;
    for (int lane = 0; lane < LANES; lane++) {
        int label = h->label[lane], first = h->sign[lane] * classes, second = (1 - h->sign[lane]) * classes;
        for (int j = 0; j < others; j++) {
            int c = class_of(j, label);
            forms[first + c][lane] = up[j][lane], forms[second + c][lane] = g[j][lane];
        }
        forms[first + label][lane] = -up_sum[lane], forms[second + label][lane] = -down_sum[lane];
    }
    return value;
}

static void head_gradient(const struct head *h, const reals *free, const reals *logits, int classes, reals *gradient) {
    int others = h->others;
    const reals *nu = free + 2 + others;
    reals up[MOST_CLASSES], slack = all(0);
    for (int lane = 0; lane < LANES; lane++) {
        int label = h->label[lane], first = h->sign[lane] * classes, second = (1 - h->sign[lane]) * classes;
        for (int j = 0; j < others; j++) {
            int c = class_of(j, label);
            up[j][lane] = logits[first + c][lane] - logits[first + label][lane];
            gradient[2 + 2 * others + j][lane] =
                logits[second + c][lane] - logits[second + label][lane] - h->vertex[j][lane];
        }
    }
    for (int j = 0; j < others; j++) slack += h->w[j] * (up[j] - h->log_w[j]);
    gradient[0] = -h->touch_up - slack;
    gradient[1] = h->vertex_lse - h->touch_down;
    for (int j = 0; j < others; j++) {
        gradient[2 + j] = h->w[j] * h->lam_up * (slack - (up[j] - h->log_w[j]));
        reals end = smaller(larger(up[j], h->low_up[j]), h->high_up[j]);
        end = pick(nu[j] > 0, h->low_up[j], pick(nu[j] < 0, h->high_up[j], end));
        gradient[2 + others + j] = up[j] - end;
    }
}

/* From the coefficients of the first layers' outputs to the corner of the box, and what the first layers give there. */
static void visit_corner(const struct networks *net, struct pass *p, const reals *radius, const reals *middle, reals *corner, reals *reached) {
    int64_t firsts = net->firsts, active = find_active(p, firsts);
    for (int64_t i = 0; i < firsts; i++) reached[i] = middle[i];
    for (int64_t m = 0; m < net->inputs; m += 4) {
        const float *w = net->turned + m * firsts;
        reals t[4];
        int count = coefficients_of_inputs(net, p, active, m, t);
        for (int q = 0; q < count; q++) corner[m + q] = t[q] = signed_as(radius[m + q], t[q]);
        if (count == 4)
            for (int64_t i = 0; i < firsts; i++)
                reached[i] += t[0] * w[i] + t[1] * w[firsts + i] + t[2] * w[2 * firsts + i] + t[3] * w[3 * firsts + i];
        else
            for (int q = 0; q < count; q++)
                for (int64_t i = 0; i < firsts; i++) reached[i] += t[q] * w[q * firsts + i];
    }
}

/* The relaxation's own point, from what the first layers give: pre-activations `hidden`, and the logits. */
static void send_forth(const struct networks *net, struct pass *p, const reals *reached, reals *hidden, reals *logits) {
    reals *z = p->one, *y = p->other;
    const float *weights = net->weights, *biases = net->biases;
    int64_t place = 0, first = 0;
    for (int64_t k = 0; k < net->count; k++) {
        const int64_t *sizes = net->sizes + k * net->depth;
        int64_t layer = 1;
        for (int64_t m = 0; m < sizes[0]; m++) z[m] = reached[first + m];
        first += sizes[0], biases += sizes[0];
        for (; layer < net->depth && sizes[layer] > 0; layer++) {
            int64_t size = sizes[layer], fewer = sizes[layer - 1];
            for (int64_t m = 0; m < fewer; m++) {
                int64_t j = place + m;
                wholes rising = p->outputs[j] > 0;
                hidden[j] = z[m];
                y[m] = pick(rising, z[m] * p->above[j] + p->intercept[j], z[m] * p->below[j]);
            }
            for (int64_t i = 0; i < size; i++) {
                reals sum = all(biases[i]);
                for (int64_t m = 0; m < fewer; m++) sum += y[m] * weights[i * fewer + m];
                z[i] = sum;
            }
            place += fewer, weights += size * fewer, biases += size;
        }
        for (int64_t i = 0; i < sizes[layer - 1]; i++) *logits++ = z[i];
    }
}

/* The head's numbers in lanes, without the label's, and back. */
static void free_to_lanes(const struct head *h, const float *rows, int classes, reals *free, int count) {
    for (int lane = 0; lane < LANES; lane++) {
        const float *row = rows + (lane < count ? lane : 0) * (2 + 3 * classes);
        free[0][lane] = row[0], free[1][lane] = row[1];
        for (int part = 0; part < 3; part++)
            for (int j = 0; j < h->others; j++)
                free[2 + part * h->others + j][lane] = row[2 + part * classes + class_of(j, h->label[lane])];
    }
}

static void free_to_rows(const struct head *h, const reals *free, int classes, float *rows, int count) {
    for (int lane = 0; lane < count; lane++) {
        float *row = rows + lane * (2 + 3 * classes);
        row[0] = free[0][lane], row[1] = free[1][lane];
        for (int part = 0; part < 3; part++)
            for (int j = 0; j < h->others; j++)
                row[2 + part * classes + class_of(j, h->label[lane])] = free[2 + part * h->others + j][lane];
    }
}

/* Lower the bounds of all rows. found->slopes and, with a head, found->free hold the start and then the best; without a head found->forms
   holds the forms. Returns 0, or 1 when memory is short. */
int search_rows(const struct networks *net, const struct rows *rows, const struct schedule *schedule, int with_head, struct found *found) {
    int64_t width = net->width, firsts = net->firsts, inputs = net->inputs;
    int classes = (int)net->classes;
    int64_t logits, widest;
    measure_networks(net, &logits, &widest);
    int64_t numbers = width + (with_head ? 2 + 3 * (classes - 1) : 0);
    int64_t total = 7 * width + 3 * firsts + 2 * widest + 2 * logits + 2 * inputs + 9 * numbers + 2 * width;
    reals *memory = aligned_alloc(sizeof(reals), (size_t)total * sizeof(reals)), *next = memory;
    struct head *h = aligned_alloc(sizeof(reals), (sizeof(struct head) + sizeof(reals) - 1) / sizeof(reals) * sizeof(reals));
    int64_t *active = malloc((size_t)(firsts + 1) * sizeof(int64_t));
    if (!memory || !h || !active) {
        free(memory), free(h), free(active);
        return 1;
    }
#define TAKE(count) (next += (count), next - (count))
    struct pass p = {TAKE(width), TAKE(width), TAKE(width), TAKE(width), TAKE(width), TAKE(width),
                     TAKE(firsts), TAKE(widest), TAKE(widest), active};
    reals *hidden = TAKE(width), *reached = TAKE(firsts), *middle = TAKE(firsts), *forms = TAKE(logits), *z = TAKE(logits), *radius = TAKE(inputs), *corner = TAKE(inputs);
    reals *x = TAKE(numbers), *best = TAKE(numbers), *gradient = TAKE(numbers), *one = TAKE(numbers), *two = TAKE(numbers);
    reals *rate = TAKE(numbers), *least = TAKE(numbers), *most = TAKE(numbers);
    reals *unstable = TAKE(width), *side = TAKE(width);
    for (int64_t start = 0; start < rows->n; start += LANES) {
        int lanes = rows->n - start < LANES ? (int)(rows->n - start) : LANES;
        lanes_of(rows->radius, rows->image + start, inputs, radius, lanes);
        lanes_of(rows->middle, rows->image + start, firsts, middle, lanes);
        to_lanes(rows->lower + start * rows->columns, rows->columns, width, least, lanes);
        to_lanes(rows->upper + start * rows->columns, rows->columns, width, most, lanes);
        to_lanes(found->slopes + start * width, width, width, x, lanes);
        for (int64_t j = 0; j < width; j++) {
            reals low = least[j], high = most[j];
            wholes open = (low < 0) & (high > 0), on = low >= 0;
            unstable[j] = (reals)open;
            side[j] = pick(open, all(0), pick(on, all(1), all(-1)));
            p.above[j] = pick(open, high / pick(open, high - low, all(1)), pick(on, all(1), all(0)));
            p.intercept[j] = pick(open, larger(-p.above[j] * low, high - p.above[j] * high), all(0));
            least[j] = all(0), most[j] = pick(open, all(1), all(INFINITY));
        }
        if (with_head) {
            head_read(h, rows, start, lanes, width, classes);
            free_to_lanes(h, found->free + start * (2 + 3 * classes), classes, x + width, lanes);
        } else {
            to_lanes(found->forms + start * logits, logits, logits, forms, lanes);
        }
        for (int64_t j = width; j < numbers; j++) least[j] = all(j < width + 2 ? 0 : -INFINITY), most[j] = all(INFINITY);
        for (int64_t j = 0; j < numbers; j++) {
            best[j] = x[j] = smaller(larger(x[j], least[j]), most[j]);
            one[j] = two[j] = all(0);
        }
        reals lowest = all(INFINITY);
        for (int64_t step = 0;; step++) {
            for (int64_t j = 0; j < width; j++) {
                p.below[j] = pick((wholes)unstable[j], x[j], p.above[j]);
                p.multiplier[j] = x[j] * side[j];
            }
            reals value = with_head ? head_at(h, x + width, forms, classes) : all(0);
            value += send_back(net, &p, forms);
            visit_corner(net, &p, radius, middle, corner, reached);
            for (int64_t i = 0; i < firsts; i++) value += p.first[i] * reached[i];
            wholes better = value < lowest;
            lowest = pick(better, value, lowest);
            for (int64_t j = 0; j < numbers; j++) best[j] = pick(better, x[j], best[j]);
            send_forth(net, &p, reached, hidden, z);
            if (step == schedule->steps) break;
            for (int64_t j = 0; j < width; j++)
                gradient[j] = pick((wholes)unstable[j], smaller(p.outputs[j], all(0)), side[j]) * hidden[j];
            if (with_head) head_gradient(h, x + width, z, classes, gradient + width);
            if (step == 0) {
                reals mean = all(0);
                for (int64_t j = 0; j < width; j++) mean += size_of(p.outputs[j]);
                mean /= (float)(width > 0 ? width : 1);
                for (int64_t j = 0; j < width; j++)
                    rate[j] = pick((wholes)unstable[j], all(schedule->slopes), schedule->multipliers * (size_of(p.outputs[j]) + mean));
                const float parts[3] = {schedule->logits, schedule->nu, schedule->g};
                for (int64_t j = width; j < numbers; j++)
                    rate[j] = all(j < width + 2 ? schedule->lam : parts[(j - width - 2) / (classes - 1)]);
            }
            float scale = (float)(pow(schedule->decay, (double)step) / (1 - pow(FIRST_DECAY, (double)step + 1)));
            float share = (float)(1 / (1 - pow(SECOND_DECAY, (double)step + 1)));
            for (int64_t j = 0; j < numbers; j++) {
                reals slope = gradient[j];
                one[j] = (float)FIRST_DECAY * one[j] + (float)(1 - FIRST_DECAY) * slope;
                two[j] = (float)SECOND_DECAY * two[j] + (float)(1 - SECOND_DECAY) * slope * slope;
                reals moved = x[j] - scale * rate[j] * one[j] / (root(two[j] * share) + (float)SMALLEST_SPREAD);
                x[j] = smaller(larger(moved, least[j]), most[j]);
            }
        }
        to_rows(best, width, found->slopes + start * width, lanes);
        if (with_head) free_to_rows(h, best + width, classes, found->free + start * (2 + 3 * classes), lanes);
        to_rows(&lowest, 1, found->value + start, lanes);
        to_rows(hidden, width, found->hidden + start * width, lanes);
        to_rows(p.outputs, width, found->outputs + start * width, lanes);
        to_rows(z, logits, found->logits + start * logits, lanes);
        to_rows(corner, inputs, found->corner + start * inputs, lanes);
    }
#undef TAKE
    free(memory), free(h), free(active);
    return 0;
}
