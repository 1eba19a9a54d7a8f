/* The paper's online training as a plain C loop: what one Adam step costs when nothing stands in between.
 *
 * A layer is one row-major matrix of (inputs + 1) x outputs; its last row is the bias, whose input is 1.
 * With FUSED each row carries the errors back and is updated while it is at hand, in place of two passes.
 */
#include <math.h>
#include <string.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

enum { LAYERS = 8, WIDEST = 256 };

static const int SIZES[LAYERS + 1] = {9, 256, 128, 64, 32, 16, 12, 8, 1};
static const float LEARNING_RATE = 1e-5f, BETA_1 = 0.9f, BETA_2 = 0.999f, EPSILON = 1e-8f;

static float inputs[LAYERS + 1][WIDEST + 1]; /* of each layer, and the bias's 1 after them; last the logit */
static float errors[LAYERS][WIDEST];         /* gradient of the loss by each layer's output before ReLU */

/* Writes inputs @ weights to outputs. */
static void multiply(const float *restrict weights, const float *restrict in, int rows, int columns,
                     float *restrict out)
{
    memset(out, 0, (size_t)columns * sizeof *out);
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < columns; j++) {
            out[j] += in[i] * weights[i * columns + j];
        }
    }
}

#ifndef FUSED
/* Carries a layer's errors to the layer before it, whose ReLU gave `in`. */
static void propagate(const float *restrict weights, const float *restrict in, const float *restrict after,
                      int rows, int columns, float *restrict before)
{
    for (int i = 0; i < rows; i++) {
        float sum = 0.0f;
        for (int j = 0; j < columns; j++) {
            sum += weights[i * columns + j] * after[j];
        }
        before[i] = in[i] > 0.0f ? sum : 0.0f;
    }
}
#endif

/* Updates one row of a layer, whose gradient is input * error; fused, returns what it gave back of the errors. */
static float adam(float *restrict weights, float *restrict first_moment, float *restrict second_moment,
                  float input, const float *restrict error, int columns, float step_size, float rescale)
{
    float back = 0.0f;
    for (int j = 0; j < columns; j++) {
#ifdef FUSED
        back += weights[j] * error[j];
#endif
        float gradient = input * error[j];
        first_moment[j] = BETA_1 * first_moment[j] + (1.0f - BETA_1) * gradient;
        second_moment[j] = BETA_2 * second_moment[j] + (1.0f - BETA_2) * gradient * gradient;
        weights[j] -= step_size * first_moment[j] / (sqrtf(second_moment[j] * rescale) + EPSILON);
    }
    return back;
}

/* Takes one step a sample on x (steps, 9) and y (steps). Changes the weights and Adam's two moments, which
 * start at 0, in place; returns the mean cross-entropy met just before each step. */
double train(float *weights, float *first_moment, float *second_moment, const float *x, const float *y,
             int steps)
{
#ifdef __SSE__
    _mm_setcsr(_mm_getcsr() | 0x8040); /* fading moments become 0, as under XLA, not slow denormal numbers */
#endif
    size_t start[LAYERS + 1] = {0}; /* of each layer in the vectors */
    for (int layer = 0; layer < LAYERS; layer++) {
        start[layer + 1] = start[layer] + (size_t)(SIZES[layer] + 1) * (size_t)SIZES[layer + 1];
        inputs[layer][SIZES[layer]] = 1.0f;
    }
    double loss = 0.0, beta_1_power = 1.0, beta_2_power = 1.0;
    for (int step = 0; step < steps; step++) {
        memcpy(inputs[0], x + (size_t)step * (size_t)SIZES[0], (size_t)SIZES[0] * sizeof *x);
        for (int layer = 0; layer < LAYERS; layer++) {
            float *out = inputs[layer + 1];
            multiply(weights + start[layer], inputs[layer], SIZES[layer] + 1, SIZES[layer + 1], out);
            for (int j = 0; layer < LAYERS - 1 && j < SIZES[layer + 1]; j++) {
                out[j] = out[j] > 0.0f ? out[j] : 0.0f;
            }
        }
        float logit = inputs[LAYERS][0];
        loss += fmaxf(logit, 0.0f) - logit * y[step] + log1pf(expf(-fabsf(logit)));
        errors[LAYERS - 1][0] = 1.0f / (1.0f + expf(-logit)) - y[step];

        beta_1_power *= BETA_1;
        beta_2_power *= BETA_2;
        float step_size = (float)(LEARNING_RATE / (1.0 - beta_1_power));
        float rescale = (float)(1.0 / (1.0 - beta_2_power));
        for (int layer = LAYERS - 1; layer >= 0; layer--) {
            int rows = SIZES[layer], columns = SIZES[layer + 1];
#ifndef FUSED
            if (layer > 0) {
                propagate(weights + start[layer], inputs[layer], errors[layer], rows, columns, errors[layer - 1]);
            }
#endif
            for (int i = 0; i <= rows; i++) {
                size_t row = start[layer] + (size_t)i * (size_t)columns;
                float back = adam(weights + row, first_moment + row, second_moment + row, inputs[layer][i],
                                  errors[layer], columns, step_size, rescale);
#ifdef FUSED
                if (layer > 0 && i < rows) {
                    errors[layer - 1][i] = inputs[layer][i] > 0.0f ? back : 0.0f;
                }
#else
                (void)back;
#endif
            }
        }
    }
    return loss / steps;
}
