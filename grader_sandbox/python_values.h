#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstddef>

#include "absl/status/statusor.h"
#include "grader_sandbox/value.h"

namespace evilmoe {

// Values in and out of the interpreter through its C API alone: no Python code runs, so nothing that a solution
// patches is asked. The interpreter's lock must be held.

// A new reference; nullptr with the interpreter's error set when memory is short.
PyObject* ToPython(const Value& value);

// Exact builtin types become values, anything else PyOpaque. InvalidArgument: nested too deep (or in a circle).
// ResourceExhausted: more than `max_bytes` when encoded, or no memory.
absl::StatusOr<Value> FromPython(PyObject* object, size_t max_bytes);

}  // namespace evilmoe
