//: form elementwise
//: rank 50
//: note one work-item per LANES x STEPS neighbouring elements, a vector at a time
// /// kernel
// language = "opencl"
// {{when}}
// [tune]
// LANES = [8, 16, 4]
// STEPS = [4, 1, 16, 64]
// GROUP = [16, 1, 64]
// {{reciprocal}}
// [[launch]]
// entry = "{{entry}}"
// grid = [{{grid}}]
// block = [{{block}}]
// {{args}}
// ///
{{prelude}}
{{types}}

__kernel void {{entry}}({{parameters}}) {
    {{others}}
    const size_t {{start}} = get_global_id(0) * (LANES * STEPS);
    for (int {{step}} = 0; {{step}} < STEPS; {{step}}++) {
        const size_t {{base}} = {{start}} + {{step}} * LANES;
        if ({{base}} + LANES <= {{extent}}) {
            const {{type}} {{variable}} = {{base}};
            {{vector}}
        } else {
            for ({{type}} {{variable}} = {{base}}; {{variable}} < {{extent}}; {{variable}}++) {
                {{scalar}}
            }
        }
    }
}
