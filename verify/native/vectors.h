/* How many bytes of numbers a kernel works on at once: the registers of the instruction set that it is compiled for. */

#ifndef VERIFY_NATIVE_VECTORS
#define VERIFY_NATIVE_VECTORS

#if defined(__AVX512F__)
#define REGISTER 64
#elif defined(__AVX2__)
#define REGISTER 32
#else
#define REGISTER 16
#endif

#endif
