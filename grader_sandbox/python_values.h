#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstddef>

#include "absl/status/statusor.h"
#include "grader_sandbox/value.h"

namespace evilmoe {

// Values in and out of the interpreter through its C API alone: but for nodes no Python code runs, so nothing that a
// solution patches is asked. The interpreter's lock must be held.

// A new reference; nullptr with the interpreter's error set when memory is short. Nodes are built by the functions
// list_node and tree_node of `globals`: those are the problem's, or whatever the solution put in their place.
PyObject* ToPython(const Value& value, PyObject* globals);

// Exact builtin types become values, anything else PyOpaque. InvalidArgument: nested too deep (or in a circle).
// ResourceExhausted: more than `max_bytes` when encoded, or no memory.
absl::StatusOr<Value> FromPython(PyObject* object, size_t max_bytes);

// The nodes that hang on `object`: follows .next, or .left and .right, and reads each .val as FromPython does. These
// attributes may run the solution's code, which thereby says which values it returns and nothing more. The result is
// canonical. Aborted: an attribute raised, the interpreter's error is set. Else as FromPython; a circle is too large.
absl::StatusOr<Value> NodesFromPython(PyObject* object, NodeShape shape, size_t max_bytes);

}  // namespace evilmoe
