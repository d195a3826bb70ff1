#define EVILMOE_KERNELS BaselineKernels
#define EVILMOE_KERNELS_NAME "baseline"
#define EVILMOE_LANES 4
#define EVILMOE_ROWS 2
#define EVILMOE_PANELS 1
#include "policy/sampler/kernels_impl.h"
