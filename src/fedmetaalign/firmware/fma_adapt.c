/* Phase 3 on the microcontroller; fma_adapt.h says how to use it.
 *
 * Adam is Algorithm 1 of Kingma & Ba (2015) with optax's constants, rearranged to fewer operations: the moments
 * are kept without their factors 1 - beta, and these and the bias corrections go into one step size and one
 * epsilon a step. The order of each sum is that of its index.
 */

#include "fma_float.h" /* first of all, for it turns fused multiply-adds off */

#define FMA_HEAD_DATA
#include "fma_adapt.h"

/* 0.9 and 0.999 as float32. What they leave of 1 is exact, since both are multiples of 2^-24. */
#define BETA_1 0.899999976f
#define BETA_2 0.999000013f
#define EPSILON 1e-8f

/* The same betas times 2^32. Powers in float32 would drift: 1 - beta_2^t by 1e-5 of it; so they lose 2e-7. */
#define DECAY_1 0xE6666600u
#define DECAY_2 0xFFBE7700u
#define ONE 0x80000000u

/* Fewer labelled scores make the best threshold a matter of luck. */
#define MINIMUM 30
#define MINIMUM_OF_EACH 5

#define MAGIC 0x53414D46u /* "FMAS" */
#define LAYOUT (1u | (uint32_t)FMA_HEAD_LAYERS << 16)

/* The logit, or the first of several. `units` becomes the head's inputs and the outputs of each layer, each
 * followed by the 1 that the biases are multiplied with. */
static float *forward(const fma_parameter_t *p, const int8_t *trunk, float *units) {
    float *in = units;
    float *out = units + FMA_TRUNK_OUTPUTS;
    uint32_t layer, i, j;
    for (i = 0; i < FMA_TRUNK_OUTPUTS; i++)
        units[i] = (float)(trunk[i] - FMA_TRUNK_ZERO_POINT) * FMA_TRUNK_SCALE;
    for (layer = 0; layer < FMA_HEAD_LAYERS; layer++) {
        const uint32_t rows = fma_head_sizes[layer] + 1u, columns = fma_head_sizes[layer + 1];
        *out++ = 1.0f;
        for (j = 0; j + 4 <= columns; j += 4) {
            const fma_parameter_t *row = p + j;
            float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
            for (i = 0; i < rows; i++, row += columns) {
                const float x = in[i];
                a += x * row[0].weight;
                b += x * row[1].weight;
                c += x * row[2].weight;
                d += x * row[3].weight;
            }
            out[j] = a;
            out[j + 1] = b;
            out[j + 2] = c;
            out[j + 3] = d;
        }
        for (; j < columns; j++) {
            const fma_parameter_t *row = p + j;
            float a = 0.0f;
            for (i = 0; i < rows; i++, row += columns)
                a += in[i] * row->weight;
            out[j] = a;
        }
        if (fma_head_relu[layer])
            for (j = 0; j < columns; j++)
                if (!(out[j] > 0.0f))
                    out[j] = 0.0f;
        p += rows * columns;
        in += rows;
        out += columns;
    }
    return in;
}

/* errors_of puts the errors of a label, the loss's gradient, in the place of the logits, and returns the
 * probability of a fault. */
#ifdef FMA_HEAD_CLASSES

#define LOGITS FMA_HEAD_CLASSES

static int known(int label) {
    return label >= 0 && label < FMA_HEAD_CLASSES;
}

static int faulty(int label) {
    return !fma_head_normal[label];
}

/* The probability of a fault, where `p` holds those of the classes. */
static float of_fault(const float *p) {
    float normal = 0.0f;
    for (int i = 0; i < FMA_HEAD_CLASSES; i++)
        if (fma_head_normal[i])
            normal += p[i];
    return normal < 1.0f ? 1.0f - normal : 0.0f; /* rounded sums can be above 1 */
}

static float errors_of(float *logits, int label) {
    fma_float_softmax(logits, FMA_HEAD_CLASSES, logits);
    const float score = of_fault(logits);
    logits[label] -= 1.0f;
    return score;
}

#else

#define LOGITS 1

static int known(int label) {
    (void)label;
    return 1;
}

static int faulty(int label) {
    return label != 0;
}

static float errors_of(float *logits, int label) {
    const float score = fma_sigmoid(*logits);
    *logits = score - (label ? 1.0f : 0.0f);
    return score;
}

#endif

typedef struct {
    float size, epsilon;
} rate_t;

/* Adam's step size and epsilon for the next step. */
static rate_t next_rate(fma_adapt_t *state) {
    rate_t rate;
    float first, second;
    state->first_decay = (uint32_t)(((uint64_t)state->first_decay * DECAY_1 + ONE) >> 32);
    state->second_decay = (uint32_t)(((uint64_t)state->second_decay * DECAY_2 + ONE) >> 32);
    first = (1.0f - BETA_1) / ((float)(ONE - state->first_decay) * 0x1p-31f);
    second = fma_root((1.0f - BETA_2) / ((float)(ONE - state->second_decay) * 0x1p-31f));
    rate.size = state->learning_rate * first / second;
    rate.epsilon = EPSILON / second;
    return rate;
}

/* Updates one weight, whose gradient is `g`. */
static inline void update(fma_parameter_t *p, float g, rate_t rate) {
    const float m = BETA_1 * p->first + g, v = BETA_2 * p->second + g * g;
    p->first = m;
    p->second = v;
    p->weight -= rate.size * m / (fma_root(v) + rate.epsilon);
}

/* What an input of a layer gets back of the errors of its outputs. */
static float dot(const fma_parameter_t *p, const float *errors, uint32_t columns) {
    float sum = 0.0f;
    while (columns--)
        sum += p++->weight * *errors++;
    return sum;
}

/* Backpropagates and updates in one pass from the last layer, whose errors stand in the logits' place. No
 * gradient is stored, each being the product of an input and an error. A row of weights first passes the errors
 * on and is then updated; its input's activation makes room for its error. */
static void backward(fma_adapt_t *state, float *units) {
    const rate_t rate = next_rate(state);
    const float *errors = units + FMA_HEAD_UNITS - LOGITS;
    uint32_t layer = FMA_HEAD_LAYERS, end = FMA_HEAD_PARAMETERS, i, j;
    float *in = units + FMA_HEAD_UNITS - LOGITS;
    while (layer--) {
        const uint32_t rows = fma_head_sizes[layer] + 1u, columns = fma_head_sizes[layer + 1];
        const uint32_t start = end - rows * columns;
        const uint32_t relu = layer == 0 || fma_head_relu[layer - 1];
        fma_parameter_t *p = state->parameters + start;
        in -= rows;
        for (i = 0; i < rows; i++) {
            const float x = in[i];
            if (layer)
                in[i] = x > 0.0f || !relu ? dot(p, errors, columns) : 0.0f;
            for (j = 0; j + 4 <= columns; j += 4, p += 4) {
                update(p, x * errors[j], rate);
                update(p + 1, x * errors[j + 1], rate);
                update(p + 2, x * errors[j + 2], rate);
                update(p + 3, x * errors[j + 3], rate);
            }
            for (; j < columns; j++, p++)
                update(p, x * errors[j], rate);
        }
        errors = in;
        end = start;
    }
}

void fma_adapt_init(fma_adapt_t *state, float learning_rate, float fallback) {
    uint32_t i;
    for (i = 0; i < FMA_HEAD_PARAMETERS; i++) {
        state->parameters[i].weight = fma_head_weights[i];
        state->parameters[i].first = state->parameters[i].second = 0.0f;
    }
    state->first_decay = state->second_decay = ONE;
    state->learning_rate = learning_rate;
    state->fallback = state->threshold = fallback;
    state->steps = 0;
    state->normals = state->faults = 0;
    state->recorded = state->next = 0;
}

#ifdef FMA_HEAD_CLASSES

float fma_adapt_scores(const fma_adapt_t *state, const int8_t *trunk, float *scores) {
    float units[FMA_HEAD_UNITS];
    fma_float_softmax(forward(state->parameters, trunk, units), FMA_HEAD_CLASSES, scores);
    return of_fault(scores);
}

float fma_adapt_score(const fma_adapt_t *state, const int8_t *trunk) {
    float scores[FMA_HEAD_CLASSES];
    return fma_adapt_scores(state, trunk, scores);
}

int fma_adapt_kind(const float *scores) {
    int kind = -1;
    for (int i = 0; i < FMA_HEAD_CLASSES; i++)
        if (!fma_head_normal[i] && (kind < 0 || scores[i] > scores[kind]))
            kind = i;
    return kind;
}

#else

float fma_adapt_score(const fma_adapt_t *state, const int8_t *trunk) {
    float units[FMA_HEAD_UNITS];
    return fma_sigmoid(*forward(state->parameters, trunk, units));
}

#endif

float fma_adapt_step(fma_adapt_t *state, const int8_t *trunk, int label) {
    float units[FMA_HEAD_UNITS], score;
    if (!known(label))
        return fma_adapt_score(state, trunk);
    score = errors_of(forward(state->parameters, trunk, units), label);
    backward(state, units);
    state->steps++;
    return score;
}

void fma_adapt_record(fma_adapt_t *state, float score, int label) {
    if (!known(label))
        return;
    state->ring[state->next] = fma_to_bits(score) << 1 | (faulty(label) ? 1u : 0u);
    state->next = (uint16_t)((state->next + 1u) % FMA_ADAPT_RING);
    if (state->recorded < FMA_ADAPT_RING)
        state->recorded++;
}

/* Halfway between two scores; the lower one where that rounds to the upper. */
static float between(float lower, float upper) {
    const float middle = lower + (upper - lower) / 2.0f;
    return middle < upper ? middle : lower;
}

static float from_half(float threshold) {
    return threshold < 0.5f ? 0.5f - threshold : threshold - 0.5f;
}

float fma_adapt_choose(fma_adapt_t *state) {
    const uint32_t count = state->recorded;
    uint32_t faults = 0, best_hits = 0, best_alarms = 0, i, k;
    float best = state->fallback;
    for (i = 0; i < count; i++)
        faults += state->ring[i] & 1u;
    state->threshold = best;
    state->normals = state->faults = 0;
    if (count < MINIMUM || faults < MINIMUM_OF_EACH || count - faults < MINIMUM_OF_EACH)
        return best;
    for (i = 0; i < count; i++) {
        /* The candidate just below this score: it and all above are alarms. Scores compare like their bits. */
        const uint32_t score = state->ring[i] >> 1;
        uint32_t hits = 0, alarms = 0, below = 0, ours, theirs;
        float candidate;
        for (k = 0; k < count; k++) {
            const uint32_t other = state->ring[k] >> 1;
            if (other >= score) {
                alarms++;
                hits += state->ring[k] & 1u;
            } else if (other > below) {
                below = other;
            }
        }
        if (alarms < count)
            candidate = between(fma_from_bits(below), fma_from_bits(score));
        else
            candidate = score ? fma_from_bits(score) / 2.0f : -0.5f;
        /* F1 = 2 hits / (alarms + faults), compared without dividing. Among equals the one nearest 0.5 wins,
         * then the lower one. */
        ours = hits * (best_alarms + faults);
        theirs = best_hits * (alarms + faults);
        if (ours > theirs
            || (ours == theirs
                && (from_half(candidate) < from_half(best)
                    || (from_half(candidate) == from_half(best) && candidate < best)))) {
            best = candidate;
            best_hits = hits;
            best_alarms = alarms;
        }
    }
    state->threshold = best;
    state->normals = (uint16_t)(count - faults);
    state->faults = (uint16_t)faults;
    return best;
}

int fma_adapt_fault(const fma_adapt_t *state, float score) {
    return score > state->threshold;
}

/* The CRC-32 of Ethernet and zlib, before its last inversion. */
static uint32_t checked(uint32_t crc, uint8_t byte) {
    int bit;
    crc ^= byte;
    for (bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (crc & 1u ? 0xEDB88320u : 0u);
    return crc;
}

typedef struct {
    fma_put_t *put;
    void *context;
    uint32_t crc;
} stream_t;

static void put_word(stream_t *stream, uint32_t word) {
    int i;
    for (i = 0; i < 4; i++, word >>= 8) {
        const uint8_t byte = (uint8_t)(word & 0xFFu);
        stream->crc = checked(stream->crc, byte);
        stream->put(byte, stream->context);
    }
}

/* The layout, in little-endian words, is that of the Python package's adapt.read_state. */
void fma_adapt_export(const fma_adapt_t *state, fma_put_t *put, void *context) {
    stream_t stream;
    uint32_t i;
    stream.put = put;
    stream.context = context;
    stream.crc = 0xFFFFFFFFu;
    put_word(&stream, MAGIC);
    put_word(&stream, LAYOUT);
    put_word(&stream, FMA_HEAD_ORIGIN);
    put_word(&stream, state->steps);
    put_word(&stream, fma_to_bits(state->threshold));
    put_word(&stream, state->normals | (uint32_t)state->faults << 16);
    for (i = 0; i <= FMA_HEAD_LAYERS; i += 2) {
        const uint32_t next = i < FMA_HEAD_LAYERS ? fma_head_sizes[i + 1] : 0u;
        put_word(&stream, fma_head_sizes[i] | next << 16);
    }
    for (i = 0; i < FMA_HEAD_PARAMETERS; i++)
        put_word(&stream, fma_to_bits(state->parameters[i].weight));
    put_word(&stream, ~stream.crc);
}

static uint32_t word_at(const uint8_t *bytes, uint32_t index) {
    bytes += 4 * index;
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

int fma_adapt_restore(fma_adapt_t *state, const uint8_t *bytes, uint32_t count, float learning_rate) {
    const uint32_t last = FMA_ADAPT_BYTES / 4 - 1;
    uint32_t crc = 0xFFFFFFFFu, i;
    if (count != FMA_ADAPT_BYTES || word_at(bytes, 0) != MAGIC || word_at(bytes, 1) != LAYOUT
        || word_at(bytes, 2) != FMA_HEAD_ORIGIN)
        return 0;
    for (i = 0; i < 4 * last; i++)
        crc = checked(crc, bytes[i]);
    if (~crc != word_at(bytes, last))
        return 0;
    fma_adapt_init(state, learning_rate, fma_from_bits(word_at(bytes, 4)));
    state->steps = word_at(bytes, 3);
    state->normals = (uint16_t)(word_at(bytes, 5) & 0xFFFFu);
    state->faults = (uint16_t)(word_at(bytes, 5) >> 16);
    for (i = 0; i < FMA_HEAD_PARAMETERS; i++)
        state->parameters[i].weight = fma_from_bits(word_at(bytes, last - FMA_HEAD_PARAMETERS + i));
    return 1;
}
