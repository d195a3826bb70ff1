#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <memory>

namespace evilmoe {

// Owns one reference to an object. The interpreter's lock must be held when it goes.
struct DropPyReference {
  void operator()(PyObject* object) const { Py_XDECREF(object); }
};
using PyRef = std::unique_ptr<PyObject, DropPyReference>;

}  // namespace evilmoe
