/* Energies of bands of a channel, or of its envelope: a radix-2 FFT of segments, and logarithms. Each operation
 * rounds once and has its place in a stated order, which is that of the Python package's signals/spectra.py and
 * signals/fourier.py. Included by fma_front.c. */
#ifndef FMA_SPECTRUM_H
#define FMA_SPECTRUM_H

/* The natural logarithm by Cephes' logf (Moshier), of FMA_SMALLEST at least. x is 2^e (1 + r) with 1 + r from the
 * root of 1/2 to that of 2; a polynomial gives ln(1 + r). */
static FMA_ONCE float fma_log(float x) {
    uint32_t bits;
    int32_t e;
    float r, p, square;
    if (x < FMA_SMALLEST) x = FMA_SMALLEST;
    if (!(x <= FMA_LARGEST)) return fma_nan();
    bits = fma_to_bits(x);
    e = (int32_t)(bits >> 23) - 126;
    r = fma_from_bits((bits & 0x7FFFFFu) | 0x3F000000u);
    if (r < 0.707106781186547524f) {
        e--;
        r += r;
    }
    r -= 1.0f;
    p = 7.0376836292e-2f;
    p = p * r + -1.1514610310e-1f;
    p = p * r + 1.1676998740e-1f;
    p = p * r + -1.2420140846e-1f;
    p = p * r + 1.4249322787e-1f;
    p = p * r + -1.6668057665e-1f;
    p = p * r + 2.0000714765e-1f;
    p = p * r + -2.4999993993e-1f;
    p = p * r + 3.3333331174e-1f;
    square = r * r;
    p = p * r * square;
    p = p + -2.12194440e-4f * (float)e;
    p = p - 0.5f * square;
    return r + p + 0.693359375f * (float)e;
}

static float fma_points[FMA_POINTS]; /* a segment, then its transform, then powers */

/* Cosine and sine of k parts of a turn of `points` parts, for k up to half of one. */
static inline void fma_turn(int32_t points, int32_t k, float *cosine, float *sine) {
    const int32_t step = FMA_POINTS / points, quarter = points / 4;
    *cosine = k <= quarter ? fma_cosines[k * step] : -fma_cosines[(2 * quarter - k) * step];
    *sine = fma_cosines[(k <= quarter ? quarter - k : k - quarter) * step];
}

/* Takes the mean off a segment, weights it, and puts its numbers by twos, complex ones, in bit-reversed order. */
static void fma_arrange(int32_t points) {
    const float mean = fma_mean_of(fma_points, points, 1);
    const int32_t count = points / 2;
    FMA_ROLLED
    for (int32_t i = 0; i <= count; i++) { /* the window is symmetric */
        float *const low = fma_points + i, *const high = fma_points + points - i;
        float weight = 1.0f;
#ifdef FMA_HANN
        float cosine, sine;
        fma_turn(points, i, &cosine, &sine);
        weight = 0.5f - 0.5f * cosine;
#endif
        *low = (*low - mean) * weight;
        if (i && i < count) *high = (*high - mean) * weight;
    }
    FMA_ROLLED
    for (int32_t i = 0, j = 0; i < count; i++) {
        int32_t bit = count / 2;
        if (i < j) {
            for (int32_t part = 0; part < 2; part++) { /* real and imaginary */
                const float swap = fma_points[2 * i + part];
                fma_points[2 * i + part] = fma_points[2 * j + part];
                fma_points[2 * j + part] = swap;
            }
        }
        FMA_ROLLED
        for (; bit && (j & bit); bit >>= 1) j ^= bit; /* counts j up from its highest bit down */
        j |= bit;
    }
}

/* What combines two complex numbers, a and b, of which b is turned to (c, d). */
static inline void fma_butterfly(float *a, float *b, float c, float d) {
    b[0] = a[0] - c;
    b[1] = a[1] - d;
    a[0] = a[0] + c;
    a[1] = a[1] + d;
}

/* The discrete Fourier transform of points / 2 complex numbers. */
static void fma_transform(int32_t points) {
    const int32_t count = points / 2;
    for (int32_t half = 1; half < count; half *= 2) {
        FMA_ROLLED
        for (float *a = fma_points; a < fma_points + points; a += 4 * half) {
            float *const b = a + 2 * half;
            fma_butterfly(a, b, b[0], b[1]);
        }
        FMA_ROLLED
        for (int32_t k = 1; k < half; k++) {
            float cosine, sine;
            fma_turn(points, k * (points / (2 * half)), &cosine, &sine);
            FMA_ROLLED
            for (float *a = fma_points + 2 * k; a < fma_points + points; a += 4 * half) {
                float *const b = a + 2 * half;
                fma_butterfly(a, b, b[0] * cosine + b[1] * sine, b[1] * cosine - b[0] * sine);
            }
        }
    }
}

/* From the transform of the numbers by twos to that of the numbers one by one: of the frequencies k = 1, 2, ...,
 * points / 2 - 1, four times the squared size, at fma_points[2 * k]. */
static void fma_powers(int32_t points) {
    const int32_t count = points / 2;
    float *const middle = fma_points + count, re = middle[0] + middle[0], im = middle[1] + middle[1];
    FMA_ROLLED
    for (int32_t k = 1; k < count / 2; k++) {
        float *const low = fma_points + 2 * k, *const high = fma_points + 2 * (count - k);
        const float a = low[0] + high[0], b = low[1] - high[1], c = low[1] + high[1], d = high[0] - low[0];
        float cosine, sine, along, across, x, y;
        fma_turn(points, k, &cosine, &sine);
        along = c * cosine + d * sine;
        across = d * cosine - c * sine;
        x = a + along;
        y = b + across;
        low[0] = x * x + y * y;
        x = a - along;
        y = across - b;
        high[0] = x * x + y * y;
    }
    middle[0] = re * re + im * im;
}

/* Adds the powers of each band to its energy. */
static void fma_gather(const fma_spectrum_t *how, float shaft, float *energies) {
#ifdef FMA_SPEEDS
    const int32_t last = how->points / 2 - 1;
    const float bins = shaft * how->bins;
    FMA_ROLLED
    for (int32_t band = 0; band < FMA_BANDS; band++) {
        const float low = how->edges[band] * bins, high = how->edges[band + 1] * bins;
        float energy = 0.0f;
        for (int32_t k = low < 1.0f ? 1 : low < (float)last ? (int32_t)low : last; k <= last; k++) {
            const float start = (float)k - 0.5f, end = (float)k + 0.5f;
            const float share = (end < high ? end : high) - (start > low ? start : low);
            if (share > 0.0f) energy += fma_points[2 * k] * share;
            if (start >= high) break;
        }
        energies[band] += energy;
    }
#else
    (void)shaft;
    FMA_ROLLED
    for (int32_t band = 0; band < FMA_BANDS; band++) {
        float energy = 0.0f;
        FMA_ROLLED
        for (int32_t k = how->edges[band]; k < how->edges[band + 1]; k++) energy += fma_points[2 * k];
        energies[band] += energy;
    }
#endif
}

#ifdef FMA_ENVELOPE

/* The envelope of a band, from its number `first` on. */
static void fma_demodulate(const float *x, float mean, int32_t first, int32_t count) {
    FMA_ROLLED
    for (int32_t i = 0; i < count; i++) {
        const float *at = x + (first + i) * (FMA_ENVELOPE_STEP * FMA_CHANNELS);
        float re = 0.0f, im = 0.0f;
        FMA_ROLLED
        for (int32_t n = 0; n < FMA_ENVELOPE_TAPS; n++, at += FMA_CHANNELS) {
            const float value = *at - mean;
            re += value * fma_envelope_taps[n][0];
            im += value * fma_envelope_taps[n][1];
        }
        fma_points[i] = fma_root(re * re + im * im);
    }
}

#endif

/* Logarithms of the energies of bands of a channel, or of its envelope. */
static void fma_energies(const float *x, const fma_spectrum_t *how, float shaft, float *next) {
    const int32_t gaps = how->segments > 1 ? how->segments - 1 : 1;
#ifdef FMA_ENVELOPE
    const int demodulated = how->demodulated;
    const float mean = demodulated ? fma_mean_of(x, FMA_WINDOW, FMA_CHANNELS) : 0.0f;
#endif
    FMA_ROLLED
    for (int32_t band = 0; band < FMA_BANDS; band++) next[band] = 0.0f;
    FMA_ROLLED
    for (int32_t segment = 0; segment < how->segments; segment++) {
        const int32_t start = segment * how->reach / gaps;
#ifdef FMA_ENVELOPE
        if (demodulated) fma_demodulate(x, mean, start, how->points);
        else
#endif
        {
            FMA_ROLLED
            for (int32_t i = 0; i < how->points; i++) fma_points[i] = x[(start + i) * FMA_CHANNELS];
        }
        fma_arrange(how->points);
        fma_transform(how->points);
        fma_powers(how->points);
        fma_gather(how, shaft, next);
    }
    FMA_ROLLED
    for (int32_t band = 0; band < FMA_BANDS; band++) next[band] = fma_log(next[band] * how->scale);
}

#endif
