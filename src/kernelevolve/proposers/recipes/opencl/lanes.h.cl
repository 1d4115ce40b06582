// Vectors of LANES elements. Loads and stores go through types that are aligned like one element: rows start anywhere.
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define LOAD(t, p) (*(__global const t##_u *)(p))
#define STORE(t, p, v) (*(__global t##_u *)(p) = (v))
#define CONVERT(t, v) JOIN(convert_, t##_v)(v)
#if RECIPROCAL
#define DIVIDE(t, a, b) ((a) * (t##_v)((t)1 / (t)(b)))
#else
#define DIVIDE(t, a, b) ((a) / (t##_v)(b))
#endif
//: each
#define KIND_v JOIN(KIND, LANES)
typedef KIND_v KIND_u __attribute__((aligned(sizeof(KIND))));
typedef union { KIND_v all; KIND one[LANES]; } KIND_l;
