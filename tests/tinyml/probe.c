/* Small functions whose results and costs are known by hand. */
#include "probe.h"

const int32_t squares[4] = {0, 1, 4, 9};
int32_t counter = 5;
static int32_t history[100];

int32_t count_up(int32_t step) {
    counter += step;
    history[(uint32_t)counter % 100u] = counter;
    return counter;
}

int32_t square(uint32_t i) { return squares[i % 4u]; }

int32_t weigh(int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f) {
    return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f;
}

float ratio(int32_t a, int32_t b) { return (float)a / (float)b; }

void each(const float *a, const float *b, float *out, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        out[4 * i] = a[i] + b[i];
        out[4 * i + 1] = a[i] - b[i];
        out[4 * i + 2] = a[i] * b[i];
        out[4 * i + 3] = a[i] / b[i];
    }
}

void round_to_integers(const float *a, int32_t *out, int32_t n) {
    for (int32_t i = 0; i < n; i++) out[i] = (int32_t)(a[i] < 0.0f ? a[i] - 0.5f : a[i] + 0.5f);
}

float product_and_sum(const float *a) { return a[0] * a[1] + a[2]; }

void poke(uint32_t address) { *(volatile uint32_t *)(uintptr_t)address = 1; }

#ifdef __arm__
/* 1 + 3 n + 2 instructions. */
__asm__(".syntax unified\n.section .text.sum_to, \"ax\", %progbits\n.global sum_to\n.type sum_to, %function\n.thumb_func\n"
        "sum_to: movs r1, #0\n1: adds r1, r1, r0\nsubs r0, r0, #1\nbne 1b\nmov r0, r1\nbx lr\n.size sum_to, . - sum_to\n");

/* Takes 8 + 24 bytes of stack. */
__asm__(".syntax unified\n.section .text.deep, \"ax\", %progbits\n.global deep\n.type deep, %function\n.thumb_func\n"
        "deep: push {r4, lr}\nsub sp, #24\nstr r0, [sp]\nadd sp, #24\npop {r4, pc}\n.size deep, . - deep\n");

__asm__(".syntax unified\n.section .text.endless, \"ax\", %progbits\n.global endless\n.type endless, %function\n.thumb_func\n"
        "endless: push {r4, lr}\nbl endless\n");
#endif

#ifdef PROBE_SQUARE_ROOT
void square_roots(const float *a, float *out, int32_t n) {
    for (int32_t i = 0; i < n; i++) out[i] = __builtin_sqrtf(a[i]);
}
#endif

#ifdef __ARM_FEATURE_DSP
uint32_t smlad(uint32_t a, uint32_t b, uint32_t c) {
    __asm__("smlad %0, %1, %2, %0" : "+r"(c) : "r"(a), "r"(b));
    return c;
}

uint32_t sxtb16(uint32_t a) {
    __asm__("sxtb16 %0, %0" : "+r"(a));
    return a;
}
#endif
