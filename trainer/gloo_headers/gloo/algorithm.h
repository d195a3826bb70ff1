#pragma once

// Nothing: c10d/ProcessGroupGloo.hpp includes this file and uses nothing of it (gloo_headers/README.md).
