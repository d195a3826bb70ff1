#include <string>
#include <string_view>

#include "common/status_macros.h"
#include "grader_sandbox/python_program.h"
#include "grader_sandbox/python_runner.h"
#include "grader_sandbox/python_values.h"
#include "grader_sandbox/run_request.h"
#include "grader_sandbox/value_codec.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxValueBytes = (size_t{1} << 20) - 64;  // RunLimits::value_bytes less a frame's header

// The runs that end with values, or with what a test function says.
class Run {
 public:
  explicit Run(const PythonProgram& program) : program_(program), request_(program.request()) {}

  void GroundTruth() const {
    if (!program_.Setup() || !program_.CompileAndLoad(request_.source)) return;
    for (size_t i = 0; i < request_.encoded_calls.size(); ++i) {
      if (!OneCall(static_cast<uint32_t>(i))) return;
    }
  }

  void TestFunction(PyObject* find_test_function) const {
    if (!program_.Setup()) return;
    const PyRef code = program_.CompileSource(request_.source);
    if (code == nullptr) return;
    std::string owner;
    if (!FindTest(find_test_function, owner) || !program_.Load(code.get())) return;
    CallTest(owner);
  }

  void Host() const {
    if (!program_.Setup() || !program_.CompileAndLoad(request_.source)) return;
    // `if True:` lets a method keep the indentation it has.
    const bool indented = request_.test_source.starts_with(' ') || request_.test_source.starts_with('\t');
    const PyRef code = program_.Compile((indented ? "if True:\n" : "") + request_.test_source, "<test>");
    if (code == nullptr || !program_.Execute(code.get()) || (request_.test_is_method && !AttachTest())) {
      return program_.Put(FrameType::kReturned, TakeException());
    }
    CallTest(request_.test_is_method ? "Solution" : "");
  }

 private:
  // Still before any untrusted code.
  bool FindTest(PyObject* find_test_function, std::string& owner) const {
    std::string payload;
    const PyRef found(PyObject_CallFunction(find_test_function, "ss", request_.source.c_str(), request_.name.c_str()));
    if (found == nullptr || found.get() == Py_None) {
      PyErr_Clear();
      payload.push_back(0);
      AppendText(payload, "");
      AppendText(payload, "");
      program_.Put(FrameType::kTest, payload);
      return false;
    }
    owner = PyUnicode_AsUTF8(PyTuple_GET_ITEM(found.get(), 0));
    const std::string_view lines = PyUnicode_AsUTF8(PyTuple_GET_ITEM(found.get(), 1));
    const bool absent = lines.find("if __name__ == '__main__':") != std::string_view::npos;
    payload.push_back(absent ? 0 : 1);
    AppendText(payload, owner);
    AppendText(payload, lines);
    program_.Put(FrameType::kTest, payload);
    return !absent;
  }

  bool AttachTest() const {
    const PyRef function = program_.Global(request_.name);
    const PyRef type = program_.Global("Solution");
    return function != nullptr && type != nullptr &&
           PyObject_SetAttrString(type.get(), request_.name.c_str(), function.get()) == 0;
  }

  void CallTest(const std::string& owner) const {
    const PyRef function = program_.Bound(owner, request_.name);
    PyObject* result = function == nullptr ? nullptr : PyObject_CallNoArgs(function.get());
    program_.Put(FrameType::kReturned, result != nullptr ? "" : TakeException());
  }

  bool OneCall(uint32_t index) const {
    const absl::StatusOr<Call> call = DecodeCall(request_.encoded_calls[index], request_.name);
    EVILMOE_CHECK(call.ok());
    const PyRef function = program_.Bound("Solution", request_.name);
    const PyRef result = function == nullptr ? nullptr : program_.Invoke(function.get(), *call);
    if (result == nullptr) {
      program_.PutIndexed(FrameType::kRaised, index, TakeException());
      return false;
    }
    const absl::StatusOr<Value> value = call->returns ? NodesFromPython(result.get(), *call->returns, kMaxValueBytes)
                                                      : FromPython(result.get(), kMaxValueBytes);
    std::string bytes;
    absl::Status status = value.status();
    if (value.ok()) status = EncodeValue(*value, kMaxValueBytes, bytes);
    if (absl::IsAborted(status)) {
      program_.PutIndexed(FrameType::kRaised, index, TakeException());
    } else if (absl::IsResourceExhausted(status)) {
      program_.PutIndexed(FrameType::kTooLarge, index, "");
    } else if (!status.ok()) {
      program_.PutIndexed(FrameType::kRaised, index, "nested too deep");
    } else {
      program_.PutIndexed(FrameType::kValue, index, bytes);  // before the result's own destructor may run
    }
    return status.ok();
  }

  const PythonProgram& program_;
  const RunRequest& request_;
};

}  // namespace

void PythonRunner::Run(const RunRequest& request, int results_fd) const {
  const auto held = held_.find(request.setup_code);
  const PythonProgram program(request, results_fd, held == held_.end() ? nullptr : &held->second);
  const evilmoe::Run run(program);
  switch (request.kind) {
    case RunKind::kGroundTruth: return run.GroundTruth();
    case RunKind::kTestFunction: return run.TestFunction(helpers_.find_test_function);
    case RunKind::kHost: return run.Host();
    case RunKind::kScript: return RunScript(program, helpers_.run_exit_functions);
    case RunKind::kExamine: return RunExamine(program, helpers_.examine);
  }
}

}  // namespace evilmoe
