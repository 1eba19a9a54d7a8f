/* Training of the default convolutional network as a plain C loop: what one Adam step costs when nothing stands
 * in between. Two convolutions with ReLUs, the mean over time, a hidden dense layer, one logit.
 *
 * Activations are steps x channels; a layer's weights are (kernel * channels + 1) x filters, the biases last.
 */
#include <math.h>
#include <string.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

enum {
    STEPS = 1024, KERNEL_1 = 32, STRIDE_1 = 8, FILTERS_1 = 16, STEPS_1 = (STEPS - KERNEL_1) / STRIDE_1 + 1,
    KERNEL_2 = 7, STRIDE_2 = 2, FILTERS_2 = 16, STEPS_2 = (STEPS_1 - KERNEL_2) / STRIDE_2 + 1, HIDDEN = 16,
    PARAMETERS = (KERNEL_1 + 1) * FILTERS_1 + (KERNEL_2 * FILTERS_1 + 1) * FILTERS_2 + (FILTERS_2 + 1) * HIDDEN
                 + HIDDEN + 1
};

static const float LEARNING_RATE = 1e-5f, BETA_1 = 0.9f, BETA_2 = 0.999f, EPSILON = 1e-8f;

static float first[STEPS_1 * FILTERS_1], second[STEPS_2 * FILTERS_2], means[FILTERS_2], hidden[HIDDEN];
static float first_error[STEPS_1 * FILTERS_1], second_error[STEPS_2 * FILTERS_2], gradient[PARAMETERS];

/* `width` is kernel * channels, `step` stride * channels: the sizes are constants wherever this is inlined. */
static inline void convolve(const float *restrict weights, const float *restrict in, int places, int width,
                            int step, int filters, float *restrict out)
{
    for (int t = 0; t < places; t++, in += step, out += filters) {
        float sums[32];
        for (int f = 0; f < filters; f++) {
            sums[f] = weights[width * filters + f];
        }
        for (int i = 0; i < width; i++) {
            for (int f = 0; f < filters; f++) {
                sums[f] += in[i] * weights[i * filters + f];
            }
        }
        for (int f = 0; f < filters; f++) {
            out[f] = sums[f] > 0.0f ? sums[f] : 0.0f;
        }
    }
}

/* Adds up the gradient of a convolution's weights, of errors that its ReLU let through. */
static inline void gather(const float *restrict in, const float *restrict error, int places, int width, int step,
                          int filters, float *restrict sums)
{
    for (int t = 0; t < places; t++, in += step, error += filters) {
        for (int i = 0; i < width; i++) {
            for (int f = 0; f < filters; f++) {
                sums[i * filters + f] += in[i] * error[f];
            }
        }
        for (int f = 0; f < filters; f++) {
            sums[width * filters + f] += error[f];
        }
    }
}

/* Carries the errors of a convolution to its input. */
static inline void spread(const float *restrict weights, const float *restrict error, int places, int width,
                          int step, int filters, float *restrict before)
{
    for (int t = 0; t < places; t++, error += filters, before += step) {
        for (int i = 0; i < width; i++) {
            float sum = 0.0f;
            for (int f = 0; f < filters; f++) {
                sum += weights[i * filters + f] * error[f];
            }
            before[i] += sum;
        }
    }
}

/* Takes one step a sample on x (steps, 1024) and y (steps). Changes the weights and Adam's two moments, which
 * start at 0, in place; returns the mean cross-entropy met just before each step. */
double train(float *restrict weights, float *restrict first_moment, float *restrict second_moment, const float *x,
             const float *y, int steps)
{
#ifdef __SSE__
    _mm_setcsr(_mm_getcsr() | 0x8040); /* fading moments become 0, as under XLA, not slow denormal numbers */
#endif
    const float *w1 = weights, *w2 = w1 + (KERNEL_1 + 1) * FILTERS_1;
    const float *w3 = w2 + (KERNEL_2 * FILTERS_1 + 1) * FILTERS_2, *w4 = w3 + (FILTERS_2 + 1) * HIDDEN;
    float *g1 = gradient, *g2 = g1 + (w2 - w1), *g3 = g1 + (w3 - w1), *g4 = g1 + (w4 - w1);
    double loss = 0.0, beta_1_power = 1.0, beta_2_power = 1.0;
    for (int step = 0; step < steps; step++, x += STEPS) {
        convolve(w1, x, STEPS_1, KERNEL_1, STRIDE_1, FILTERS_1, first);
        convolve(w2, first, STEPS_2, KERNEL_2 * FILTERS_1, STRIDE_2 * FILTERS_1, FILTERS_2, second);
        memset(means, 0, sizeof means);
        for (int t = 0; t < STEPS_2; t++) {
            for (int f = 0; f < FILTERS_2; f++) {
                means[f] += second[t * FILTERS_2 + f] * (1.0f / STEPS_2);
            }
        }
        convolve(w3, means, 1, FILTERS_2, 0, HIDDEN, hidden);
        float logit = w4[HIDDEN];
        for (int i = 0; i < HIDDEN; i++) {
            logit += hidden[i] * w4[i];
        }
        loss += fmaxf(logit, 0.0f) - logit * y[step] + log1pf(expf(-fabsf(logit)));

        float error = 1.0f / (1.0f + expf(-logit)) - y[step], hidden_error[HIDDEN], mean_error[FILTERS_2] = {0};
        memset(gradient, 0, sizeof gradient);
        memset(first_error, 0, sizeof first_error);
        for (int i = 0; i < HIDDEN; i++) {
            g4[i] = hidden[i] * error;
            hidden_error[i] = hidden[i] > 0.0f ? w4[i] * error : 0.0f;
        }
        g4[HIDDEN] = error;
        gather(means, hidden_error, 1, FILTERS_2, 0, HIDDEN, g3);
        spread(w3, hidden_error, 1, FILTERS_2, 0, HIDDEN, mean_error);
        for (int t = 0; t < STEPS_2; t++) {
            for (int f = 0; f < FILTERS_2; f++) {
                second_error[t * FILTERS_2 + f] =
                    second[t * FILTERS_2 + f] > 0.0f ? mean_error[f] * (1.0f / STEPS_2) : 0.0f;
            }
        }
        gather(first, second_error, STEPS_2, KERNEL_2 * FILTERS_1, STRIDE_2 * FILTERS_1, FILTERS_2, g2);
        spread(w2, second_error, STEPS_2, KERNEL_2 * FILTERS_1, STRIDE_2 * FILTERS_1, FILTERS_2, first_error);
        for (int i = 0; i < STEPS_1 * FILTERS_1; i++) {
            first_error[i] = first[i] > 0.0f ? first_error[i] : 0.0f;
        }
        gather(x, first_error, STEPS_1, KERNEL_1, STRIDE_1, FILTERS_1, g1);

        beta_1_power *= BETA_1;
        beta_2_power *= BETA_2;
        float step_size = (float)(LEARNING_RATE / (1.0 - beta_1_power));
        float rescale = (float)(1.0 / (1.0 - beta_2_power));
        for (int i = 0; i < PARAMETERS; i++) {
            first_moment[i] = BETA_1 * first_moment[i] + (1.0f - BETA_1) * gradient[i];
            second_moment[i] = BETA_2 * second_moment[i] + (1.0f - BETA_2) * gradient[i] * gradient[i];
            weights[i] -= step_size * first_moment[i] / (sqrtf(second_moment[i] * rescale) + EPSILON);
        }
    }
    return loss / steps;
}
