/* Layers of real numbers, one after the other: a whole network, or what follows its integer layers. Sums are taken
 * in the order of their index. Included by fma_infer.c. */
#ifndef FMA_FLOAT_LAYERS_H
#define FMA_FLOAT_LAYERS_H

#ifndef FMA_FLOAT_INPUTS
#define FMA_FLOAT_INPUTS fma_float_sizes[0]
#endif

/* Takes real numbers through a float layer; four outputs at a time need an input only once. */
static void fma_dense(const float *weights, const float *x, int32_t inputs, int32_t outputs, int relu,
                      float *y) {
    const float *const biases = weights + inputs * outputs;
    int32_t o = 0;
    for (; o + 4 <= outputs; o += 4) {
        float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
        const float *row = weights + o;
        FMA_ROLLED
        for (int32_t i = 0; i < inputs; i++, row += outputs) {
            s0 += x[i] * row[0];
            s1 += x[i] * row[1];
            s2 += x[i] * row[2];
            s3 += x[i] * row[3];
        }
        y[o] = s0;
        y[o + 1] = s1;
        y[o + 2] = s2;
        y[o + 3] = s3;
    }
    for (; o < outputs; o++) {
        y[o] = 0.0f;
        FMA_ROLLED
        for (int32_t i = 0; i < inputs; i++) y[o] += x[i] * weights[i * outputs + o];
    }
    FMA_ROLLED
    for (o = 0; o < outputs; o++) {
        y[o] += biases[o];
        if (relu && y[o] < 0.0f) y[o] = 0.0f;
    }
}

#ifdef FMA_FLOAT_TABLE

/* Layers over time other than convolutions, which are a dense layer at each place. */
#if FMA_FLOAT_DEPTHWISE
static void fma_float_depthwise(const fma_float_layer_t *layer, const float *weights, const float *x, float *y) {
    const int32_t channels = layer->outputs;
    for (int32_t c = 0; c < channels; c++) {
        float sum = 0.0f;
        for (int32_t k = 0; k < layer->steps; k++) sum += x[k * channels + c] * weights[k * channels + c];
        sum += weights[layer->steps * channels + c];
        y[c] = layer->relu && sum < 0.0f ? 0.0f : sum;
    }
}
#endif

#if FMA_FLOAT_MAX || FMA_FLOAT_AVERAGE
static void fma_float_pool(const fma_float_layer_t *layer, const float *x, float *y) {
    const int32_t channels = layer->outputs;
    for (int32_t c = 0; c < channels; c++) {
        float taken = x[c];
        for (int32_t k = 1; k < layer->steps; k++) {
            const float step = x[k * channels + c];
            if (layer->kind == FMA_MAX) {
                if (step > taken) taken = step;
            } else {
                taken += step;
            }
        }
        y[c] = layer->kind == FMA_MAX ? taken : taken / (float)layer->steps;
    }
}
#endif

/* Takes real numbers through a float layer, from place to place; returns where the next weights are. */
static const float *fma_float_layer(const fma_float_layer_t *layer, const float *weights, const float *x, float *y) {
    for (int32_t place = 0; place < layer->places; place++, x += layer->stride, y += layer->outputs) {
#if FMA_FLOAT_DEPTHWISE
        if (layer->kind == FMA_DEPTHWISE) fma_float_depthwise(layer, weights, x, y);
#endif
#if FMA_FLOAT_MAX || FMA_FLOAT_AVERAGE
        if (layer->kind == FMA_MAX || layer->kind == FMA_AVERAGE) fma_float_pool(layer, x, y);
#endif
        if (layer->kind == FMA_DENSE) fma_dense(weights, x, layer->steps, layer->outputs, layer->relu, y);
    }
    return weights + layer->weights;
}

#endif

/* What the last float layer makes of real numbers; both buffers are overwritten. */
static const float *fma_float_run(float *x, float *y) {
    const float *weights = fma_float_weights;
    for (int layer = 0; layer < FMA_FLOAT_LAYERS; layer++) {
#ifdef FMA_FLOAT_TABLE
        float *const swap = x;
        weights = fma_float_layer(&fma_float_layers[layer], weights, x, y);
#else
        const int32_t inputs = fma_float_sizes[layer], outputs = fma_float_sizes[layer + 1];
        float *const swap = x;
        fma_dense(weights, x, inputs, outputs, fma_float_relu[layer], y);
        weights += (inputs + 1) * outputs;
#endif
        x = y;
        y = swap;
    }
    return x;
}

static const float *fma_logits(const fma_input_t *input) {
    static float x[FMA_FLOAT_UNITS], y[FMA_FLOAT_UNITS];
#if FMA_LAYERS
    fma_run(input, FMA_LAYERS);
#endif
    FMA_ROLLED
    for (int32_t i = 0; i < FMA_FLOAT_INPUTS; i++) {
#if FMA_LAYERS
        x[i] = (float)(fma_units[i] - FMA_HEAD_ZERO_POINT) * FMA_HEAD_SCALE;
#else
        x[i] = input[i];
#endif
    }
    return fma_float_run(x, y);
}

#endif
