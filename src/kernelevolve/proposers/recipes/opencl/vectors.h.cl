// Vectors of LANES elements; in buffers they are aligned like one element (…u_t), because rows start anywhere.
//: divide
#if RECIPROCAL
#define DIVIDE(type, a, b) ((a) * ((type)(1) / (type)(b)))
#else
#define DIVIDE(type, a, b) ((a) / (type)(b))
#endif
//: each
#if LANES == 16
typedef KIND16 KINDv_t;
#define to_KIND(value) convert_KIND16(value)
#elif LANES == 8
typedef KIND8 KINDv_t;
#define to_KIND(value) convert_KIND8(value)
#elif LANES == 4
typedef KIND4 KINDv_t;
#define to_KIND(value) convert_KIND4(value)
#else
typedef KIND2 KINDv_t;
#define to_KIND(value) convert_KIND2(value)
#endif
typedef KINDv_t KINDu_t __attribute__((aligned(sizeof(KIND))));
typedef union { KINDv_t all; KIND one[LANES]; } KINDl_t;
