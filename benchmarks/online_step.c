/* The paper's online training as a plain C loop: what one Adam step costs when nothing stands in between.
 *
 *     online_step FOLDER STEPS REPEATS
 *
 * reads FOLDER/x.f32 (STEPS x 9), FOLDER/y.f32 (STEPS) and FOLDER/weights.f32, all raw little-endian float32,
 * trains REPEATS times from the same start, one step a sample, writes the final weights to FOLDER/c.f32 and
 * prints {"us_per_step": ..., "loss": ...}, where loss is the mean cross-entropy met just before each step.
 *
 * A layer is one row-major matrix of (inputs + 1) x outputs; its last row is the bias, whose input is 1.
 */
#define _POSIX_C_SOURCE 199309L /* clock_gettime */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LAYERS = 8, INPUTS = 9, WIDEST = 256 };

static const int SIZES[LAYERS + 1] = {INPUTS, 256, 128, 64, 32, 16, 12, 8, 1};

static const float LEARNING_RATE = 1e-5f;
static const float BETA_1 = 0.9f;
static const float BETA_2 = 0.999f;
static const float EPSILON = 1e-8f;

typedef struct {
    float *weights[LAYERS];
    float *first_moment[LAYERS];
    float *second_moment[LAYERS];
    float inputs[LAYERS][WIDEST + 1]; /* each layer's input, and the bias's 1 after it */
    float errors[LAYERS][WIDEST];     /* the loss's gradient with respect to each layer's output before ReLU */
    double beta_1_power;
    double beta_2_power;
} Trainer;

static void fail(const char *what, const char *path)
{
    fprintf(stderr, "online_step: %s %s\n", what, path);
    exit(EXIT_FAILURE);
}

static FILE *open_in(const char *folder, const char *name, const char *mode)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, mode);
    if (file == NULL) {
        fail("cannot open", path);
    }
    return file;
}

static float *allocate(size_t count)
{
    float *values = calloc(count, sizeof *values);
    if (values == NULL) {
        fail("out of memory", "");
    }
    return values;
}

static float *read_floats(const char *folder, const char *name, size_t count)
{
    float *values = allocate(count);
    FILE *file = open_in(folder, name, "rb");
    if (fread(values, sizeof *values, count, file) != count) {
        fail("too few numbers in", name);
    }
    fclose(file);
    return values;
}

static size_t layer_size(int layer)
{
    return (size_t)(SIZES[layer] + 1) * (size_t)SIZES[layer + 1];
}

static size_t network_size(void)
{
    size_t size = 0;
    for (int layer = 0; layer < LAYERS; layer++) {
        size += layer_size(layer);
    }
    return size;
}

static void create(Trainer *trainer)
{
    for (int layer = 0; layer < LAYERS; layer++) {
        trainer->weights[layer] = allocate(layer_size(layer));
        trainer->first_moment[layer] = allocate(layer_size(layer));
        trainer->second_moment[layer] = allocate(layer_size(layer));
        trainer->inputs[layer][SIZES[layer]] = 1.0f;
    }
}

static void restart(Trainer *trainer, const float *weights)
{
    for (int layer = 0; layer < LAYERS; layer++) {
        size_t bytes = layer_size(layer) * sizeof(float);
        memcpy(trainer->weights[layer], weights, bytes);
        memset(trainer->first_moment[layer], 0, bytes);
        memset(trainer->second_moment[layer], 0, bytes);
        weights += layer_size(layer);
    }
    trainer->beta_1_power = 1.0;
    trainer->beta_2_power = 1.0;
}

/* Writes inputs @ weights to outputs. */
static void multiply(const float *restrict weights, const float *restrict inputs, int rows, int columns,
                     float *restrict outputs)
{
    memset(outputs, 0, (size_t)columns * sizeof *outputs);
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < columns; j++) {
            outputs[j] += inputs[i] * weights[i * columns + j];
        }
    }
}

/* Returns the logit of the sample x. */
static float forward(Trainer *trainer, const float *x)
{
    float logit = 0.0f;
    memcpy(trainer->inputs[0], x, INPUTS * sizeof *x);
    for (int layer = 0; layer < LAYERS; layer++) {
        int rows = SIZES[layer] + 1;
        int columns = SIZES[layer + 1];
        if (layer == LAYERS - 1) {
            multiply(trainer->weights[layer], trainer->inputs[layer], rows, columns, &logit);
            break;
        }
        float *outputs = trainer->inputs[layer + 1];
        multiply(trainer->weights[layer], trainer->inputs[layer], rows, columns, outputs);
        for (int j = 0; j < columns; j++) {
            outputs[j] = outputs[j] > 0.0f ? outputs[j] : 0.0f;
        }
    }
    return logit;
}

/* Carries a layer's errors to the layer before it, whose ReLU gave `inputs`. */
static void propagate(const float *restrict weights, const float *restrict inputs,
                      const float *restrict errors, int rows, int columns, float *restrict errors_before)
{
    for (int i = 0; i < rows; i++) {
        float sum = 0.0f;
        for (int j = 0; j < columns; j++) {
            sum += weights[i * columns + j] * errors[j];
        }
        errors_before[i] = inputs[i] > 0.0f ? sum : 0.0f;
    }
}

/* Updates one row of a layer, whose gradient is input * errors. */
static void adam(float *restrict weights, float *restrict first_moment, float *restrict second_moment,
                 float input, const float *restrict errors, int columns, float step_size, float rescale)
{
    for (int j = 0; j < columns; j++) {
        float gradient = input * errors[j];
        first_moment[j] = BETA_1 * first_moment[j] + (1.0f - BETA_1) * gradient;
        second_moment[j] = BETA_2 * second_moment[j] + (1.0f - BETA_2) * gradient * gradient;
        weights[j] -= step_size * first_moment[j] / (sqrtf(second_moment[j] * rescale) + EPSILON);
    }
}

/* Takes one step on the sample (x, y); returns the loss before it. */
static float step(Trainer *trainer, const float *x, float y)
{
    float logit = forward(trainer, x);
    trainer->errors[LAYERS - 1][0] = 1.0f / (1.0f + expf(-logit)) - y;
    trainer->beta_1_power *= BETA_1;
    trainer->beta_2_power *= BETA_2;
    float step_size = (float)(LEARNING_RATE / (1.0 - trainer->beta_1_power));
    float rescale = (float)(1.0 / (1.0 - trainer->beta_2_power));

    for (int layer = LAYERS - 1; layer >= 0; layer--) {
        int rows = SIZES[layer];
        int columns = SIZES[layer + 1];
        const float *inputs = trainer->inputs[layer];
        const float *errors = trainer->errors[layer];
        if (layer > 0) {
            propagate(trainer->weights[layer], inputs, errors, rows, columns, trainer->errors[layer - 1]);
        }
        for (int i = 0; i <= rows; i++) {
            size_t row = (size_t)i * (size_t)columns;
            adam(trainer->weights[layer] + row, trainer->first_moment[layer] + row,
                 trainer->second_moment[layer] + row, inputs[i], errors, columns, step_size, rescale);
        }
    }
    return fmaxf(logit, 0.0f) - logit * y + log1pf(expf(-fabsf(logit)));
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void write_weights(const Trainer *trainer, const char *folder)
{
    FILE *file = open_in(folder, "c.f32", "wb");
    for (int layer = 0; layer < LAYERS; layer++) {
        if (fwrite(trainer->weights[layer], sizeof(float), layer_size(layer), file) != layer_size(layer)) {
            fail("cannot write", "c.f32");
        }
    }
    if (fclose(file) != 0) {
        fail("cannot write", "c.f32");
    }
}

int main(int argc, char **argv)
{
    if (argc != 4 || atoi(argv[2]) < 1 || atoi(argv[3]) < 1) {
        fail("usage:", "online_step FOLDER STEPS REPEATS");
    }
    const char *folder = argv[1];
    int steps = atoi(argv[2]);
    int repeats = atoi(argv[3]);
    float *x = read_floats(folder, "x.f32", (size_t)steps * INPUTS);
    float *y = read_floats(folder, "y.f32", (size_t)steps);
    float *weights = read_floats(folder, "weights.f32", network_size());
    static Trainer trainer;
    create(&trainer);

    double loss = 0.0;
    double start = seconds();
    for (int repeat = 0; repeat < repeats; repeat++) {
        loss = 0.0;
        restart(&trainer, weights);
        for (int i = 0; i < steps; i++) {
            loss += step(&trainer, x + (size_t)i * INPUTS, y[i]);
        }
    }
    double elapsed = seconds() - start;

    write_weights(&trainer, folder);
    printf("{\"us_per_step\": %.4f, \"loss\": %.8f}\n", 1e6 * elapsed / steps / repeats, loss / steps);
    return EXIT_SUCCESS;
}
