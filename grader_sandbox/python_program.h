#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "grader_sandbox/literal_parser.h"
#include "grader_sandbox/python_ref.h"
#include "grader_sandbox/python_runner.h"
#include "grader_sandbox/run_request.h"

namespace evilmoe {

// One run's program in a forked interpreter: its globals, and the frames that it says things with. Only for the
// python_*.cc files. A pending exception is the interpreter's, as in its C API.
class PythonProgram {
 public:
  // `request` must outlive it. `held`: of its setup code; null: Setup() runs all of that.
  PythonProgram(const RunRequest& request, int results_fd, const HeldSetup* held);

  // Writes a frame. Ends the process when that is not possible: the solution closed the descriptor.
  void Put(FrameType type, std::string_view payload) const;
  void PutIndexed(FrameType type, uint32_t index, std::string_view payload) const;

  // Each says with its frame how it went. False, or null: the run is over.
  bool Setup() const;
  PyRef CompileSource(const std::string& source) const;
  bool Load(PyObject* code) const;
  bool CompileAndLoad(const std::string& source) const;

  // These leave an exception behind and write nothing.
  PyRef Compile(const std::string& source, const char* file_name) const;
  bool Execute(PyObject* code) const;
  PyRef Global(const std::string& name) const;  // KeyError when there is none
  // The attribute `name` of a new object of class `owner`, or the global one when there is no owner.
  PyRef Bound(const std::string& owner, const std::string& name) const;
  // Calls with fresh arguments: a solution may keep or change what it was given.
  PyRef Invoke(PyObject* function, const Call& call) const;

  PyObject* globals() const { return globals_; }  // borrowed
  const RunRequest& request() const { return request_; }

 private:
  const RunRequest& request_;
  const int results_fd_;
  const HeldSetup* const held_;
  PyObject* const globals_;  // of __main__
};

// Takes the pending exception; its type's name. No Python code runs: the exception is not normalised or printed.
std::string TakeException();

// What the run kinds do; python_runner.h says when. `run_exit_functions`: atexit's.
void RunScript(const PythonProgram& program, PyObject* run_exit_functions);
void RunExamine(const PythonProgram& program, PyObject* examine);

}  // namespace evilmoe
