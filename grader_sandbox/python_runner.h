#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

typedef struct _object PyObject;

namespace evilmoe {

struct RunRequest;

// Setup code of which all that is harmless has been run, before any run: what a run finds in the place of __main__.
struct HeldSetup {
  PyObject* module = nullptr;  // owned for the life of the process
  PyObject* rest = nullptr;    // code of the statements that are not; null: there are none
};

// The interpreter of a zygote, and what a forked child does with it. Drives CPython through its C API: no line of
// Python stands between a solution and its result. Single-threaded; one per process, and its forks: with one thread no
// lock is held across a fork, and nothing of the interpreter has to be told of it.
class PythonRunner {
 public:
  // Starts the interpreter (fixed hash seed, no site, no environment) and imports the allow-list, numpy too where it is
  // wanted and installed. Internal names what failed.
  // `with_ctypes`: for tests of the layers around it.
  static absl::StatusOr<PythonRunner> Start(bool with_numpy, bool with_ctypes = false);

  // Has the runs with this setup code begin with what it defines, instead of each running it. Only statements that run
  // no code but that of loaded modules are run here: imports, plain functions and classes, constants (ADR 14). Where
  // there are none in front, or it is no Python, the runs see for themselves. The same setups in the same order leave the
  // same memory.
  void Hold(const std::string& setup_code);

  // In the child, confined: runs the request and writes frames to `results_fd`.
  void Run(const RunRequest& request, int results_fd) const;

 private:
  // Python functions of the prelude, owned for the life of the process.
  struct Helpers {
    PyObject* find_test_function = nullptr;
    PyObject* examine = nullptr;
    PyObject* run_exit_functions = nullptr;
    PyObject* hold_setup = nullptr;
    PyObject* settle = nullptr;
  };
  explicit PythonRunner(const Helpers& helpers) : helpers_(helpers) {}

  Helpers helpers_;
  std::map<std::string, HeldSetup> held_;  // by setup code
};

}  // namespace evilmoe
