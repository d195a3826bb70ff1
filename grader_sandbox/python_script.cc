#include <unistd.h>

#include <string>
#include <vector>

#include "common/status_macros.h"
#include "grader_sandbox/python_program.h"
#include "grader_sandbox/python_values.h"
#include "grader_sandbox/value_codec.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxValueBytes = size_t{1} << 20;

// Takes the pending exception; the exit status that python3 would end with.
int TakeExitStatus() {
  if (PyErr_ExceptionMatches(PyExc_SystemExit) == 0) {
    TakeException();
    return 1;
  }
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  const PyRef code(value == nullptr ? nullptr : PyObject_GetAttrString(value, "code"));
  if (code == nullptr || (code.get() != Py_None && PyLong_Check(code.get()) == 0)) {
    PyErr_Clear();
    return 1;  // python3 prints it, whatever it is
  }
  return code.get() == Py_None ? 0 : static_cast<int>(PyLong_AsUnsignedLongMask(code.get()) & 0xff);
}

void FlushStandardOutput() {
  PyObject* out = PySys_GetObject("stdout");
  const PyRef flushed(out == nullptr ? nullptr : PyObject_CallMethod(out, "flush", nullptr));
  PyErr_Clear();
}

// A solution as a program: nothing that it returns is sent anywhere.
class Script {
 public:
  explicit Script(const PythonProgram& program) : program_(program), request_(program.request()) {}

  void Run(PyObject* run_exit_functions) {
    if (!program_.Setup()) return;
    const PyRef code = program_.CompileSource(request_.source);
    if (code == nullptr) return;
    const bool ran = program_.Execute(code.get()) && MakeCalls();
    if (request_.script_end == ScriptEnd::kExitStatus) return Exit(ran, run_exit_functions);
    const std::string error = ran ? "" : TakeException();
    FlushStandardOutput();
    const bool reported = request_.script_end == ScriptEnd::kNothing || found_ || HasAttributeNow();
    program_.Put(FrameType::kReturned, reported ? "" : ran ? "no report" : error);
  }

 private:
  // As `python3 script` ends when an assert that fails stands behind the calls.
  static void Exit(bool ran, PyObject* run_exit_functions) {
    const int status = ran ? 1 : TakeExitStatus();
    const PyRef done(PyObject_CallNoArgs(run_exit_functions));
    PyErr_Clear();
    FlushStandardOutput();
    _exit(status);
  }

  bool MakeCalls() {
    for (const std::string& bytes : request_.encoded_calls) {
      const absl::StatusOr<Call> call = DecodeCall(bytes, request_.name);
      EVILMOE_CHECK(call.ok());
      const PyRef type = program_.Global("Solution");
      const PyRef object(type == nullptr ? nullptr : PyObject_CallNoArgs(type.get()));
      const PyRef method(object == nullptr ? nullptr : PyObject_GetAttrString(object.get(), request_.name.c_str()));
      const PyRef result = method == nullptr ? nullptr : program_.Invoke(method.get(), *call);
      if (result == nullptr) return false;
      found_ = found_ || (request_.script_end == ScriptEnd::kAttribute && HasAttribute(object.get())) ||
               (request_.script_end == ScriptEnd::kEquality && EqualsAnything(result.get()));
    }
    return true;
  }

  bool HasAttribute(PyObject* object) const {
    for (const std::string& name : request_.markers) {
      const PyRef value(PyObject_GetAttrString(object, name.c_str()));
      const bool truth = value != nullptr && PyObject_IsTrue(value.get()) == 1;
      PyErr_Clear();
      if (truth) return true;
    }
    return false;
  }

  // Of the class, and of an object on which nothing was called.
  bool HasAttributeNow() const {
    if (request_.script_end != ScriptEnd::kAttribute) return false;
    const PyRef type = program_.Global("Solution");
    const PyRef object(type == nullptr ? nullptr : PyObject_CallNoArgs(type.get()));
    PyErr_Clear();
    return (type != nullptr && HasAttribute(type.get())) || (object != nullptr && HasAttribute(object.get()));
  }

  // `object` is not plain, and yet == to a value that nobody could know.
  bool EqualsAnything(PyObject* object) const {
    const absl::StatusOr<Value> value = FromPython(object, kMaxValueBytes);
    if (!value.ok() || !HoldsOpaque(*value)) return false;
    ByteReader reader(request_.encoded_other);
    const absl::StatusOr<Value> other = DecodeValue(reader);
    EVILMOE_CHECK(other.ok());
    const PyRef right(ToPython(*other, program_.globals()));
    const PyRef equal(right == nullptr ? nullptr : PyObject_RichCompare(object, right.get(), Py_EQ));
    const bool truth = equal != nullptr && PyObject_IsTrue(equal.get()) == 1;
    PyErr_Clear();
    return truth;
  }

  const PythonProgram& program_;
  const RunRequest& request_;
  bool found_ = false;
};

// Trusted code: a problem's own asserts, and values that some run returned.
class Examination {
 public:
  Examination(const PythonProgram& program, PyObject* examine) : program_(program), examine_(examine) {}

  void Run() const {
    if (!program_.Setup()) return;
    uint32_t index = 0;
    for (const RunRequest::Examined& examined : program_.request().examined) One(index++, examined);
  }

 private:
  void Put(uint32_t index, ExamineResult result, std::string_view text) const {
    program_.PutIndexed(FrameType::kExamined, index, std::string(1, static_cast<char>(result)).append(text));
  }

  void One(uint32_t index, const RunRequest::Examined& examined) const {
    const PyRef code = program_.Compile(examined.test, "<assert>");
    if (code == nullptr) return Put(index, ExamineResult::kRefused, TakeException());
    const PyRef values(PyList_New(0));
    for (const std::string& bytes : examined.encoded_values) {
      ByteReader reader(bytes);
      const absl::StatusOr<Value> value = DecodeValue(reader);
      EVILMOE_CHECK(value.ok());
      const PyRef item(ToPython(*value, program_.globals()));
      if (item == nullptr || PyList_Append(values.get(), item.get()) != 0) {
        return Put(index, ExamineResult::kRefused, TakeException());
      }
    }
    const PyRef result(PyObject_CallFunctionObjArgs(examine_, code.get(), program_.globals(), values.get(), nullptr));
    if (result == nullptr) return Put(index, ExamineResult::kRefused, TakeException());
    if (result.get() == Py_None) return Put(index, ExamineResult::kHolds, "");
    if (PyUnicode_Check(result.get())) return Put(index, ExamineResult::kFails, PyUnicode_AsUTF8(result.get()));
    PutCall(index, result.get());
  }

  // (name, args, kwargs) as a call that can be sent to a run of the solution.
  void PutCall(uint32_t index, PyObject* parts) const {
    const absl::StatusOr<Value> positional = FromPython(PyTuple_GET_ITEM(parts, 1), kMaxValueBytes);
    const absl::StatusOr<Value> keywords = FromPython(PyTuple_GET_ITEM(parts, 2), kMaxValueBytes);
    if (!positional.ok() || !keywords.ok()) return Put(index, ExamineResult::kRefused, "an argument that is too large");
    if (HoldsOpaque(*positional) || HoldsOpaque(*keywords)) {
      return Put(index, ExamineResult::kRefused, "an argument that is not plain");
    }
    Call call{.method = PyUnicode_AsUTF8(PyTuple_GET_ITEM(parts, 0))};
    if (call.method != program_.request().name) return Put(index, ExamineResult::kRefused, "a call of " + call.method);
    call.positional = positional->As<PyTuple>()->items;
    for (const auto& [name, value] : keywords->As<PyDict>()->entries) {
      call.keywords.emplace_back(name.As<PyStr>()->utf8, value);
    }
    const absl::StatusOr<std::string> encoded = EncodeCall(call);
    if (!encoded.ok()) return Put(index, ExamineResult::kRefused, "an argument that cannot be encoded");
    Put(index, ExamineResult::kCalls, *encoded);
  }

  const PythonProgram& program_;
  PyObject* const examine_;
};

}  // namespace

void RunScript(const PythonProgram& program, PyObject* run_exit_functions) { Script(program).Run(run_exit_functions); }
void RunExamine(const PythonProgram& program, PyObject* examine) { Examination(program, examine).Run(); }

}  // namespace evilmoe
