/* See fma_front.h. Each operation rounds once and has its place in a stated order, which is that of the Python
 * package's signals/, where each front end is described. */

#include "fma_float.h" /* first of all, for it turns fused multiply-adds off */

#define FMA_SIGNAL_DATA
#include "fma_front.h"

#if defined(__clang__)
#define FMA_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define FMA_ROLLED
#endif

#if defined(__GNUC__)
#define FMA_ONCE __attribute__((noinline)) /* in the code, however often it is called */
#else
#define FMA_ONCE
#endif

enum { FMA_BLOCK = 32 }; /* numbers that are added up before their sum is: longer sums would lose digits */

#define FMA_LARGEST 3.40282347e+38f
#define FMA_SMALLEST 1e-30f
#define FMA_FASTEST 1e9f /* of a shaft, in turns a second */

static inline float fma_nan(void) {
    return fma_from_bits(0x7FC00000u);
}

#if defined(FMA_STATISTICS) || defined(FMA_POINTS)

static inline int32_t fma_end_of_block(int32_t start, int32_t count) {
    return count - start < FMA_BLOCK ? count : start + FMA_BLOCK;
}

/* The mean of `count` numbers, each `step` places after the one before. */
static FMA_ONCE float fma_mean_of(const float *x, int32_t count, int32_t step) {
    float sum = 0.0f;
    for (int32_t i = 0; i < count;) {
        const int32_t end = fma_end_of_block(i, count);
        float block = 0.0f;
        FMA_ROLLED
        for (; i < end; i++, x += step) block += *x;
        sum += block;
    }
    return sum / (float)count;
}

static void fma_lost(float *next, int32_t count) {
    FMA_ROLLED
    for (int32_t i = 0; i < count; i++) next[i] = fma_nan();
}

#endif

#ifdef FMA_STATISTICS

/* Mean, root mean square, standard deviation, skewness, kurtosis, crest factor, peak to peak, and how often the
 * mean is crossed. */
static void fma_statistics_of(const float *x, float *next) {
    const float mean = fma_mean_of(x, FMA_WINDOW, FMA_CHANNELS), count = (float)FMA_WINDOW;
    const float *at = x;
    float low = *x, high = *x, m2 = 0.0f, m3 = 0.0f, m4 = 0.0f, span, unit, root, std, rms;
    int32_t crossings = 0, below, moves;
    FMA_ROLLED
    for (int32_t i = 0; i < FMA_WINDOW; i++, at += FMA_CHANNELS) {
        if (*at < low) low = *at;
        if (*at > high) high = *at;
    }
    span = high - low;
    moves = span > FMA_SMALLEST;
    unit = 1.0f / (moves ? span : 1.0f);
    below = (*x - mean) * unit < 0.0f;
    at = x;
    for (int32_t i = 0; i < FMA_WINDOW;) {
        const int32_t end = fma_end_of_block(i, FMA_WINDOW);
        float b2 = 0.0f, b3 = 0.0f, b4 = 0.0f;
        FMA_ROLLED
        for (; i < end; i++, at += FMA_CHANNELS) {
            const float u = (*at - mean) * unit, square = u * u;
            const int32_t is_below = u < 0.0f;
            b2 += square;
            b3 += square * u;
            b4 += square * square;
            crossings += is_below != below;
            below = is_below;
        }
        m2 += b2;
        m3 += b3;
        m4 += b4;
    }
    m2 = moves ? m2 / count : 0.0f;
    m3 = moves ? m3 / count : 0.0f;
    m4 = moves ? m4 / count : 0.0f;
    root = fma_root(m2);
    std = span * root;
    rms = fma_root(mean * mean + std * std);
    next[0] = mean;
    next[1] = rms;
    next[2] = std;
    next[3] = m2 > 0.0f ? m3 / (m2 * root) : 0.0f;
    next[4] = m2 > 0.0f ? m4 / (m2 * m2) : 0.0f;
    next[5] = rms > FMA_SMALLEST ? (high > -low ? high : -low) / rms : 0.0f;
    next[6] = span;
    next[7] = (float)crossings;
}

#endif

#ifdef FMA_POINTS
#include "fma_spectrum.h"
#endif

#ifndef FMA_RAW_WINDOW

/* Each front end stores the features of all channels, and returns where the next one's begin. */

#ifdef FMA_RAW
static float *fma_front_raw(const fma_stream_t *stream, float shaft, float *next) {
    (void)shaft;
    for (int32_t i = 0; i < FMA_WINDOW * FMA_CHANNELS; i++) *next++ = stream->window[i];
    return next;
}
#endif

#ifdef FMA_STATISTICS
static float *fma_front_statistics(const fma_stream_t *stream, float shaft, float *next) {
    (void)shaft;
    for (int32_t channel = 0; channel < FMA_CHANNELS; channel++, next += FMA_STATISTICS) {
        if (stream->broken[channel]) fma_lost(next, FMA_STATISTICS);
        else fma_statistics_of(stream->window + channel, next);
    }
    return next;
}
#endif

#ifdef FMA_POINTS
static float *fma_front_spectrum(const fma_stream_t *stream, const fma_spectrum_t *how, float shaft, float *next) {
    for (int32_t channel = 0; channel < FMA_CHANNELS; channel++, next += FMA_BANDS) {
        if (stream->broken[channel] || !(shaft > 0.0f)) fma_lost(next, FMA_BANDS);
        else fma_energies(stream->window + channel, how, shaft, next);
    }
    return next;
}

#define fma_front_bands(stream, shaft, next) fma_front_spectrum(stream, &fma_bands, shaft, next)
#define fma_front_envelope(stream, shaft, next) fma_front_spectrum(stream, &fma_envelope, shaft, next)
#endif

void fma_features(const fma_stream_t *stream, float *features) {
    float *next = features, shaft = 1.0f;
#ifdef FMA_SPEEDS
    const float speed = stream->speed / (float)FMA_SPEEDS;
    shaft = speed * FMA_TURNS;
    if (!(shaft > 0.0f && shaft <= FMA_FASTEST)) shaft = 0.0f;
#endif
#define FMA_RUN(front) next = fma_front_##front(stream, shaft, next);
    FMA_FRONTS(FMA_RUN)
#ifdef FMA_SPEEDS
    *next++ = shaft > 0.0f ? speed : fma_nan();
#endif
    FMA_ROLLED
    for (float *at = features; at < next; at++) {
        if (!(*at >= -FMA_LARGEST && *at <= FMA_LARGEST)) *at = fma_nan();
    }
}

#endif

void fma_stream_init(fma_stream_t *stream) {
    stream->next = 0;
    for (int32_t channel = 0; channel < FMA_CHANNELS; channel++) stream->broken[channel] = 0;
#ifdef FMA_SPEEDS
    stream->speed = 0.0f;
#endif
#ifdef FMA_LAST
    fma_last_init(&stream->last);
#endif
}

/* Makes room for the samples of the next window behind those that it shares with the last. */
static void fma_move_on(fma_stream_t *stream) {
    stream->next = FMA_WINDOW - FMA_STRIDE;
    FMA_ROLLED
    for (int32_t i = 0; i < stream->next * FMA_CHANNELS; i++) {
        stream->window[i] = stream->window[i + FMA_STRIDE * FMA_CHANNELS];
    }
    for (int32_t channel = 0; channel < FMA_CHANNELS; channel++) {
        const int32_t place = stream->broken[channel] - FMA_STRIDE;
        stream->broken[channel] = place > 0 ? place : 0;
    }
#ifdef FMA_SPEEDS
    stream->speed = 0.0f;
#endif
}

/* Whether a sensor can have given a value; NaN is neither above nor below anything. */
static inline int fma_possible(float value, int32_t column) {
#ifdef FMA_SIGNAL_RANGES
    return value >= fma_signal_low[column] && value <= fma_signal_high[column];
#else
    (void)column;
    return value >= -FMA_LARGEST && value <= FMA_LARGEST;
#endif
}

int fma_broken(const fma_stream_t *stream) {
    int32_t places = 0;
    for (int32_t channel = 0; channel < FMA_CHANNELS; channel++) places |= stream->broken[channel];
    return places != 0;
}

/* Puts a value of a sample in its place, NaN where its sensor cannot have given it; returns whether it is good. */
static inline int fma_put(fma_stream_t *stream, float value, int32_t channel) {
    const int32_t place = stream->next * FMA_CHANNELS + channel;
    const int good = fma_possible(value, channel);
    if (!good) value = fma_nan();
#ifdef FMA_RAW_WINDOW
    fma_prepare_one(&value, channel, &stream->window[place]);
#else
    stream->window[place] = value;
#endif
    return good;
}

/* What is said of the window that has just ended. */
static int fma_decide(fma_stream_t *stream, fma_score_t *score FMA_KIND_PARAMETER) {
#ifdef FMA_RAW_WINDOW
    int said;
#ifdef FMA_CLASSES
    fma_scores(stream->window, score);
    *kind = fma_kind(score);
    said = fma_fault(score);
#else
    *score = fma_score(stream->window);
    said = fma_fault(*score);
#endif
    return fma_broken(stream) && (FMA_STRICT || said != FMA_FAULT) ? FMA_SENSOR_FAULT : said;
#else
    static float features[FMA_FEATURES];
#ifdef FMA_LAST
    fma_last_t *const last = &stream->last;
#endif
    fma_features(stream, features);
    return fma_classify(features, score FMA_KIND_ARGUMENT FMA_LAST_ARGUMENT);
#endif
}

int fma_push(fma_stream_t *stream, const float *sample, fma_score_t *score FMA_KIND_PARAMETER) {
    if (stream->next == FMA_WINDOW) fma_move_on(stream);
    if (stream->next >= 0) {
        for (int32_t channel = 0; channel < FMA_CHANNELS; channel++) {
            if (!fma_put(stream, sample[channel], channel)) stream->broken[channel] = stream->next + 1;
        }
#ifdef FMA_SPEEDS
        if (stream->next >= FMA_WINDOW - FMA_SPEEDS) {
            stream->speed += fma_possible(sample[FMA_CHANNELS], FMA_CHANNELS) ? sample[FMA_CHANNELS] : fma_nan();
        }
#endif
    }
    if (++stream->next < FMA_WINDOW) return FMA_NONE;
    return fma_decide(stream, score FMA_KIND_ARGUMENT);
}
