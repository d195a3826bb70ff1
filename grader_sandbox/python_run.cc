#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "common/status_macros.h"
#include "grader_sandbox/python_ref.h"
#include "grader_sandbox/python_runner.h"
#include "grader_sandbox/python_values.h"
#include "grader_sandbox/run_request.h"
#include "grader_sandbox/value_codec.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxValueBytes = (size_t{1} << 20) - 64;  // RunLimits::value_bytes less a frame's header

// Takes the pending exception; its type's name. No Python code runs: the exception is not normalised or printed.
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

class Run {
 public:
  Run(const RunRequest& request, int results_fd) : request_(request), results_fd_(results_fd) {}

  void GroundTruth() {
    if (!Setup() || !CompileAndLoad(request_.source)) return;
    for (size_t i = 0; i < request_.encoded_calls.size(); ++i) {
      if (!OneCall(static_cast<uint32_t>(i))) return;
    }
  }

  void Channel(PyObject* find_test_function) {
    if (!Setup()) return;
    const PyRef code = CompileSource(request_.source);
    if (code == nullptr) return;
    std::string owner;
    if (!FindTest(find_test_function, owner) || !Load(code.get())) return;
    CallTest(owner);
  }

  void Host() {
    if (!Setup() || !CompileAndLoad(request_.source)) return;
    // `if True:` lets a method keep the indentation it has.
    const bool indented = request_.test_source.starts_with(' ') || request_.test_source.starts_with('\t');
    const PyRef code(Compile((indented ? "if True:\n" : "") + request_.test_source, "<test>"));
    if (code == nullptr || !Execute(code.get())) return Put(FrameType::kReturned, TakeException());
    if (request_.test_is_method && !AttachTest()) return Put(FrameType::kReturned, TakeException());
    CallTest(request_.test_is_method ? "Solution" : "");
  }

 private:
  void Put(FrameType type, std::string_view payload) {
    const std::string frame = EncodeFrame(type, payload);
    std::string_view rest = frame;
    while (!rest.empty()) {
      const ssize_t written = write(results_fd_, rest.data(), rest.size());
      if (written < 0 && errno != EINTR) _exit(1);  // the solution closed it: no result
      if (written > 0) rest.remove_prefix(static_cast<size_t>(written));
    }
  }

  void PutIndexed(FrameType type, uint32_t index, std::string_view payload) {
    std::string bytes;
    AppendU32(bytes, index);
    bytes.append(payload);
    Put(type, bytes);
  }

  PyObject* Globals() const { return PyModule_GetDict(PyImport_AddModule("__main__")); }

  PyObject* Compile(const std::string& source, const char* file_name) const {
    if (source.find('\0') != std::string::npos) {
      PyErr_SetString(PyExc_SyntaxError, "a NUL byte");
      return nullptr;
    }
    // Strict: bytes that are no UTF-8 are no Python.
    const PyRef text(PyUnicode_DecodeUTF8(source.data(), static_cast<Py_ssize_t>(source.size()), nullptr));
    if (text == nullptr) return nullptr;
    PyCompilerFlags flags = _PyCompilerFlags_INIT;
    flags.cf_flags = PyCF_SOURCE_IS_UTF8 | PyCF_IGNORE_COOKIE;
    return Py_CompileStringExFlags(source.c_str(), file_name, Py_file_input, &flags, 0);
  }

  bool Execute(PyObject* code) const {
    const PyRef result(PyEval_EvalCode(code, globals_, globals_));
    return result != nullptr;
  }

  bool Setup() {
    globals_ = Globals();
    PyDict_SetItemString(globals_, "__builtins__", PyEval_GetBuiltins());
    const PyRef code(Compile(request_.setup_code, "<setup>"));
    if (code != nullptr && Execute(code.get())) return true;
    Put(FrameType::kSetupFailed, TakeException());
    return false;
  }

  PyRef CompileSource(const std::string& source) {
    PyRef code(Compile(source, "<solution>"));
    Put(FrameType::kCompiled, code != nullptr ? "" : TakeException());
    return code;
  }

  bool Load(PyObject* code) {
    const bool loaded = Execute(code);
    Put(FrameType::kLoaded, loaded ? "" : TakeException());
    return loaded;
  }

  bool CompileAndLoad(const std::string& source) {
    const PyRef code = CompileSource(source);
    return code != nullptr && Load(code.get());
  }

  // Still before any untrusted code.
  bool FindTest(PyObject* find_test_function, std::string& owner) {
    std::string payload;
    const PyRef found(PyObject_CallFunction(find_test_function, "ss", request_.source.c_str(), request_.name.c_str()));
    if (found == nullptr || found.get() == Py_None) {
      PyErr_Clear();
      payload.push_back(0);
      AppendText(payload, "");
      AppendText(payload, "");
      Put(FrameType::kTest, payload);
      return false;
    }
    owner = PyUnicode_AsUTF8(PyTuple_GET_ITEM(found.get(), 0));
    const std::string_view lines = PyUnicode_AsUTF8(PyTuple_GET_ITEM(found.get(), 1));
    const bool absent = lines.find("if __name__ == '__main__':") != std::string_view::npos;
    payload.push_back(absent ? 0 : 1);
    AppendText(payload, owner);
    AppendText(payload, lines);
    Put(FrameType::kTest, payload);
    return !absent;
  }

  // A new reference to a global, or nullptr with KeyError set.
  PyObject* Global(const std::string& name) const {
    const PyRef key(PyUnicode_FromStringAndSize(name.data(), static_cast<Py_ssize_t>(name.size())));
    if (key == nullptr) return nullptr;
    PyObject* found = PyDict_GetItemWithError(globals_, key.get());
    if (found == nullptr && PyErr_Occurred() == nullptr) PyErr_SetObject(PyExc_KeyError, key.get());
    return Py_XNewRef(found);
  }

  // The function `name` of a new object of class `owner`, or the global one when there is no owner.
  PyObject* Bound(const std::string& owner, const std::string& name) const {
    if (owner.empty()) return Global(name);
    const PyRef type(Global(owner));
    const PyRef object(type == nullptr ? nullptr : PyObject_CallNoArgs(type.get()));
    return object == nullptr ? nullptr : PyObject_GetAttrString(object.get(), name.c_str());
  }

  bool AttachTest() const {
    const PyRef function(Global(request_.name));
    const PyRef type(Global("Solution"));
    return function != nullptr && type != nullptr &&
           PyObject_SetAttrString(type.get(), request_.name.c_str(), function.get()) == 0;
  }

  void CallTest(const std::string& owner) {
    const PyRef function(Bound(owner, request_.name));
    PyObject* result = function == nullptr ? nullptr : PyObject_CallNoArgs(function.get());
    Put(FrameType::kReturned, result != nullptr ? "" : TakeException());
  }

  // Fresh arguments for every call: a solution may keep or change what it was given.
  PyObject* Invoke(PyObject* function, const Call& call) const {
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
    return PyObject_Call(function, positional.get(), keywords.get());
  }

  bool OneCall(uint32_t index) {
    const absl::StatusOr<Call> call = DecodeCall(request_.encoded_calls[index], request_.name);
    EVILMOE_CHECK(call.ok());
    const PyRef function(Bound("Solution", request_.name));
    const PyRef result(function == nullptr ? nullptr : Invoke(function.get(), *call));
    if (result == nullptr) {
      PutIndexed(FrameType::kRaised, index, TakeException());
      return false;
    }
    const absl::StatusOr<Value> value = call->returns ? NodesFromPython(result.get(), *call->returns, kMaxValueBytes)
                                                      : FromPython(result.get(), kMaxValueBytes);
    std::string bytes;
    absl::Status status = value.status();
    if (value.ok()) status = EncodeValue(*value, kMaxValueBytes, bytes);
    if (absl::IsAborted(status)) {
      PutIndexed(FrameType::kRaised, index, TakeException());
    } else if (absl::IsResourceExhausted(status)) {
      PutIndexed(FrameType::kTooLarge, index, "");
    } else if (!status.ok()) {
      PutIndexed(FrameType::kRaised, index, "nested too deep");
    } else {
      PutIndexed(FrameType::kValue, index, bytes);  // before the result's own destructor may run
    }
    return status.ok();
  }

  const RunRequest& request_;
  const int results_fd_;
  PyObject* globals_ = nullptr;  // borrowed from __main__
};

}  // namespace

void PythonRunner::Run(const RunRequest& request, int results_fd) const {
  evilmoe::Run run(request, results_fd);
  switch (request.kind) {
    case RunKind::kGroundTruth: return run.GroundTruth();
    case RunKind::kChannel: return run.Channel(find_test_function_);
    case RunKind::kHost: return run.Host();
  }
}

}  // namespace evilmoe
