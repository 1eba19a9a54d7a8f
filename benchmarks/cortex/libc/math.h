/* As much of a C library as emlearn's headers name; the functions come with the compiler. */
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define fabsf __builtin_fabsf
float expf(float x);
float logf(float x);
float tanhf(float x);
