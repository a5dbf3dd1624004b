#include <stepvideo/kernels/norm/above.hpp>
