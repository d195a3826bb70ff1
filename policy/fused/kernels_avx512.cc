#define EVILMOE_KERNELS Avx512FusedKernels
#define EVILMOE_KERNELS_NAME "avx512"
#define EVILMOE_LANES 16
#define EVILMOE_ROWS 14
#define EVILMOE_PANELS 2
#include "policy/fused/kernels_impl.h"
