#include "grader_sandbox/python_program.h"

#include <unistd.h>

#include <cerrno>

#include "common/status_macros.h"
#include "grader_sandbox/python_values.h"
#include "grader_sandbox/value_codec.h"

namespace evilmoe {

std::string TakeException() {
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  std::string name = "UnknownError";
  if (type != nullptr && PyType_Check(type)) name = reinterpret_cast<PyTypeObject*>(type)->tp_name;
  // Not released: a destructor would run the solution's code in the middle of the report.
  return name.substr(0, 200);
}

namespace {

// The dictionary of __main__, which is `held`'s from now on.
PyObject* GlobalsOf(const HeldSetup* held) {
  if (held != nullptr) PyDict_SetItemString(PyImport_GetModuleDict(), "__main__", held->module);
  return PyModule_GetDict(PyImport_AddModule("__main__"));
}

}  // namespace

PythonProgram::PythonProgram(const RunRequest& request, int results_fd, const HeldSetup* held)
    : request_(request), results_fd_(results_fd), held_(held), globals_(GlobalsOf(held)) {}

void PythonProgram::Put(FrameType type, std::string_view payload) const {
  const std::string frame = EncodeFrame(type, payload);
  std::string_view rest = frame;
  while (!rest.empty()) {
    const ssize_t written = write(results_fd_, rest.data(), rest.size());
    if (written < 0 && errno != EINTR) _exit(1);
    if (written > 0) rest.remove_prefix(static_cast<size_t>(written));
  }
}

void PythonProgram::PutIndexed(FrameType type, uint32_t index, std::string_view payload) const {
  std::string bytes;
  AppendU32(bytes, index);
  bytes.append(payload);
  Put(type, bytes);
}

PyRef PythonProgram::Compile(const std::string& source, const char* file_name) const {
  if (source.find('\0') != std::string::npos) {
    PyErr_SetString(PyExc_SyntaxError, "a NUL byte");
    return nullptr;
  }
  // Strict: bytes that are no UTF-8 are no Python.
  const PyRef text(PyUnicode_DecodeUTF8(source.data(), static_cast<Py_ssize_t>(source.size()), nullptr));
  if (text == nullptr) return nullptr;
  PyCompilerFlags flags = _PyCompilerFlags_INIT;
  flags.cf_flags = PyCF_SOURCE_IS_UTF8 | PyCF_IGNORE_COOKIE;
  return PyRef(Py_CompileStringExFlags(source.c_str(), file_name, Py_file_input, &flags, 0));
}

bool PythonProgram::Execute(PyObject* code) const {
  const PyRef result(PyEval_EvalCode(code, globals_, globals_));
  return result != nullptr;
}

bool PythonProgram::Setup() const {
  PyDict_SetItemString(globals_, "__builtins__", PyEval_GetBuiltins());
  if (held_ != nullptr && held_->rest == nullptr) return true;
  const PyRef code = held_ == nullptr ? Compile(request_.setup_code, "<setup>") : PyRef(Py_NewRef(held_->rest));
  if (code != nullptr && Execute(code.get())) return true;
  Put(FrameType::kSetupFailed, TakeException());
  return false;
}

PyRef PythonProgram::CompileSource(const std::string& source) const {
  PyRef code = Compile(source, "<solution>");
  Put(FrameType::kCompiled, code != nullptr ? "" : TakeException());
  return code;
}

bool PythonProgram::Load(PyObject* code) const {
  const bool loaded = Execute(code);
  Put(FrameType::kLoaded, loaded ? "" : TakeException());
  return loaded;
}

bool PythonProgram::CompileAndLoad(const std::string& source) const {
  const PyRef code = CompileSource(source);
  return code != nullptr && Load(code.get());
}

PyRef PythonProgram::Global(const std::string& name) const {
  const PyRef key(PyUnicode_FromStringAndSize(name.data(), static_cast<Py_ssize_t>(name.size())));
  if (key == nullptr) return nullptr;
  PyObject* found = PyDict_GetItemWithError(globals_, key.get());
  if (found == nullptr && PyErr_Occurred() == nullptr) PyErr_SetObject(PyExc_KeyError, key.get());
  return PyRef(Py_XNewRef(found));
}

PyRef PythonProgram::Bound(const std::string& owner, const std::string& name) const {
  if (owner.empty()) return Global(name);
  const PyRef type = Global(owner);
  const PyRef object(type == nullptr ? nullptr : PyObject_CallNoArgs(type.get()));
  return PyRef(object == nullptr ? nullptr : PyObject_GetAttrString(object.get(), name.c_str()));
}

PyRef PythonProgram::Invoke(PyObject* function, const Call& call) const {
  const PyRef positional(PyTuple_New(static_cast<Py_ssize_t>(call.positional.size())));
  const PyRef keywords(PyDict_New());
  if (positional == nullptr || keywords == nullptr) return nullptr;
  for (size_t i = 0; i < call.positional.size(); ++i) {
    PyObject* item = ToPython(call.positional[i], globals_);
    if (item == nullptr) return nullptr;
    PyTuple_SET_ITEM(positional.get(), static_cast<Py_ssize_t>(i), item);
  }
  for (const auto& [name, value] : call.keywords) {
    const PyRef item(ToPython(value, globals_));
    if (item == nullptr || PyDict_SetItemString(keywords.get(), name.c_str(), item.get()) != 0) return nullptr;
  }
  return PyRef(PyObject_Call(function, positional.get(), keywords.get()));
}

}  // namespace evilmoe
