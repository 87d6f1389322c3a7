// Errors of the core, one class for each branch that the faces tell apart.
//
// The Python face maps each to the class of the same name in nigroedge/errors.py, the C face to a
// status number. A message says what was expected, what came, and where.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace nigro {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};
struct BadArgument : Error {  // a call that no correct caller makes: ValueError in Python
    using Error::Error;
};
struct GeometryError : Error {
    using Error::Error;
};
struct DegeneratePatchError : Error {
    using Error::Error;
};
struct FileError : Error {  // a file that cannot be opened or read
    using Error::Error;
};
struct ModelError : Error {
    using Error::Error;
};
struct SideNotServed : Error {  // a model asked for a side that it was not trained for
    using Error::Error;
};
struct NoThread : Error {  // the system gave fewer threads than were asked for
    using Error::Error;
};
struct Unsupported : Error {  // an instruction set or a feature that this machine lacks
    using Error::Error;
};

}  // namespace nigro
