#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "grader_sandbox/python_ref.h"
#include "grader_sandbox/value.h"

namespace evilmoe {

// CPython in this process, and the functions of literal_oracle.py. Started by the first call of Get(), never stopped.
class PythonOracle {
 public:
  enum class Kind { kLiteral, kCall, kTest };
  enum class Answer { kRefused, kAccepted, kTooDeep };

  // What CPython makes of a text. `values` of a literal: its own; of a call: method, positional arguments as a list,
  // named ones as a dict; of a test also the maker of the nodes that are compared, or "", and the expected value.
  struct Judgement {
    Answer answer = Answer::kRefused;
    bool extended = false;  // it took more than ast.literal_eval
    std::vector<Value> values;
  };

  static PythonOracle& Get();
  PythonOracle(const PythonOracle&) = delete;
  PythonOracle& operator=(const PythonOracle&) = delete;

  // False for what is not UTF-8.
  bool IsText(std::string_view bytes);
  // `text` without white space around it.
  Judgement Judge(Kind kind, std::string_view text);
  // Why the parser may refuse a text that CPython reads.
  std::vector<std::string> Refusals(Kind kind, std::string_view text);
  // Python's == between each value and the next.
  std::vector<bool> EqualPairs(const std::vector<Value>& values);

 private:
  PythonOracle();
  PyObject* Function(const char* name);

  PyRef names_;
};

// Tells type from type (True from 1, -0.0 from 0) and takes nan for equal; sets may differ in order.
bool SameValue(const Value& a, const Value& b);

}  // namespace evilmoe
