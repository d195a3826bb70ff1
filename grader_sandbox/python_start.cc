#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/python_prelude.h"
#include "grader_sandbox/python_ref.h"
#include "grader_sandbox/python_runner.h"

namespace evilmoe {
namespace {

absl::Status FromPyStatus(const PyStatus& status) {
  if (PyStatus_Exception(status) == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("python: ", status.err_msg != nullptr ? status.err_msg : "cannot start"));
}

absl::Status Initialise() {
  PyConfig config;
  PyConfig_InitIsolatedConfig(&config);
  config.use_hash_seed = 1;  // the same order of sets in every run; with 1, word-ladder-ii of LeetCodeDataset is right
  config.hash_seed = 1;
  config.site_import = 0;
  config.write_bytecode = 0;
  config.install_signal_handlers = 0;
  const wchar_t* const settings[] = {(L"" EVILMOE_PYTHON_PROGRAM), L"utf-8", L"backslashreplace"};
  wchar_t** const fields[] = {&config.program_name, &config.stdio_encoding, &config.stdio_errors};
  absl::Status status;
  for (size_t i = 0; i < 3 && status.ok(); ++i) {
    status = FromPyStatus(PyConfig_SetString(&config, fields[i], settings[i]));
  }
  if (status.ok()) status = FromPyStatus(Py_InitializeFromConfig(&config));
  PyConfig_Clear(&config);
  return status;
}

absl::Status PythonFailed(const char* what) {
  PyErr_Print();  // to standard error: the zygote runs no untrusted code
  return absl::InternalError(absl::StrCat("python: ", what, " failed"));
}

}  // namespace

absl::StatusOr<PythonRunner> PythonRunner::Start(bool with_numpy, bool with_ctypes) {
  EVILMOE_RETURN_IF_ERROR(Initialise());
  PyObject* names = PyDict_New();
  if (names == nullptr || PyDict_SetItemString(names, "__builtins__", PyEval_GetBuiltins()) != 0 ||
      PyDict_SetItemString(names, "with_numpy", with_numpy ? Py_True : Py_False) != 0 ||
      PyDict_SetItemString(names, "with_ctypes", with_ctypes ? Py_True : Py_False) != 0) {
    return PythonFailed("a namespace");
  }
  PyObject* path = PySys_GetObject("path");
  PyObject* packages = PyUnicode_FromString(EVILMOE_PYTHON_PACKAGES);
  if (path == nullptr || packages == nullptr || PyList_Append(path, packages) != 0) return PythonFailed("sys.path");
  if (PyRun_String(kPythonPrelude, Py_file_input, names, names) == nullptr) return PythonFailed("the prelude");
  Helpers helpers{.find_test_function = PyDict_GetItemString(names, "find_test_function"),
                  .examine = PyDict_GetItemString(names, "examine"),
                  .run_exit_functions = PyDict_GetItemString(names, "run_exit_functions"),
                  .hold_setup = PyDict_GetItemString(names, "hold_setup"),
                  .settle = PyDict_GetItemString(names, "settle")};
  for (PyObject* helper : {helpers.find_test_function, helpers.examine, helpers.run_exit_functions, helpers.hold_setup,
                           helpers.settle}) {
    if (helper == nullptr) return PythonFailed("finding the helpers");
    Py_INCREF(helper);
  }
  return PythonRunner(helpers);
}

void PythonRunner::Hold(const std::string& setup_code) {
  if (held_.contains(setup_code)) return;
  const PyRef held(PyObject_CallFunction(helpers_.hold_setup, "s#", setup_code.data(),
                                         static_cast<Py_ssize_t>(setup_code.size())));
  PyErr_Clear();  // no UTF-8, or no memory
  if (held == nullptr || held.get() == Py_None) return;
  PyObject* rest = PyTuple_GET_ITEM(held.get(), 1);
  held_.emplace(setup_code, HeldSetup{.module = Py_NewRef(PyTuple_GET_ITEM(held.get(), 0)),
                                      .rest = rest == Py_None ? nullptr : Py_NewRef(rest)});
  const PyRef settled(PyObject_CallNoArgs(helpers_.settle));
  PyErr_Clear();
}

}  // namespace evilmoe
