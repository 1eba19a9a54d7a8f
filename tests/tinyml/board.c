/* What an image finds when it starts: variables, the stack, floats. */
#include "fma_semihosting.h"

#include <stdint.h>

static volatile int32_t counter = 5;
static volatile int32_t history[4];
static volatile float number = 4.5f;

int main(void) {
    fma_print("counter ");
    fma_print(counter == 5 ? "5\n" : "?\n");
#if defined(PROBE_FAULT)
    __builtin_trap();
#elif defined(PROBE_ENDLESS)
    while (counter == 5) history[0]++;
#endif
    if (counter != 5 || history[3] != 0) return 1;
    counter++;
    history[3] = 1;
    number /= 3.0f;
    return number == 1.5f && counter == 6 && history[3] == 1 ? 42 : 2;
}
