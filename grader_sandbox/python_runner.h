#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

typedef struct _object PyObject;

namespace evilmoe {

struct RunRequest;

// The interpreter of a zygote, and what a forked child does with it. Drives CPython through its C API: no line of
// Python stands between a solution and its result. Single-threaded; one per process, and its forks: with one thread no
// lock is held across a fork, and nothing of the interpreter has to be told of it.
class PythonRunner {
 public:
  // Starts the interpreter (fixed hash seed, no site, no environment) and imports the allow-list, numpy too where it is
  // wanted and installed. Internal names what failed.
  // `with_ctypes`: for tests of the layers around it.
  static absl::StatusOr<PythonRunner> Start(bool with_numpy, bool with_ctypes = false);

  // In the child, confined: runs the request and writes frames to `results_fd`.
  void Run(const RunRequest& request, int results_fd) const;

 private:
  // Python functions of the prelude, owned for the life of the process.
  struct Helpers {
    PyObject* find_test_function = nullptr;
    PyObject* examine = nullptr;
    PyObject* run_exit_functions = nullptr;
  };
  explicit PythonRunner(const Helpers& helpers) : helpers_(helpers) {}

  Helpers helpers_;
};

}  // namespace evilmoe
