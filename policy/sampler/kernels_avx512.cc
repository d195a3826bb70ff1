#define EVILMOE_KERNELS Avx512Bf16Kernels
#define EVILMOE_KERNELS_NAME "avx512_bf16"
#define EVILMOE_LANES 16
#define EVILMOE_ROWS 14
#define EVILMOE_PANELS 2
#include "policy/sampler/kernels_impl.h"
