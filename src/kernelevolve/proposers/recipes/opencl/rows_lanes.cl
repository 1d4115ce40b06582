//: form rows
//: rank 20
//: note one work-item per row, LANES columns at a time, ACCS independent partial results
// /// kernel
// language = "opencl"
// {{when}}
// [tune]
// LANES = [8, 16, 4]
// ACCS = [2, 1, 4]
// GROUP = [8, 64, 1]
// {{reciprocal}}
// [[launch]]
// entry = "{{entry}}"
// grid = ["cdiv({{items}}, GROUP)"]
// block = ["GROUP"]
// {{args}}
// ///
{{prelude}}
{{types}}

__kernel void {{entry}}({{parameters}}) {
    const {{row_type}} {{row}} = get_global_id(0);
    if ({{row}} >= {{extent}}) {
        return;
    }
    {{statements}}
}
//: block loop
{
    {{declare}}
    {{type}} {{base}} = {{first}};
    for (; {{base}} + LANES * ACCS <= {{bound}}; {{base}} += LANES * ACCS) {
        #pragma unroll
        for (int {{part}} = 0; {{part}} < ACCS; {{part}}++) {
            const {{type}} {{variable}} = {{base}} + {{part}} * LANES;
            {{vector}}
        }
    }
    for (; {{base}} + LANES <= {{bound}}; {{base}} += LANES) {
        const int {{part}} = 0;
        const {{type}} {{variable}} = {{base}};
        {{vector}}
    }
    {{fold}}
    for ({{type}} {{variable}} = {{base}}; {{variable}} < {{bound}}; {{variable}}++) {
        {{scalar}}
    }
}
//: block declare
{{real}}v_t {{name}}_v[ACCS];
for (int {{part}} = 0; {{part}} < ACCS; {{part}}++) {
    {{name}}_v[{{part}}] = ({{real}}v_t)({{identity}});
}
//: block target
{{name}}_v[{{part}}]
//: block fold
for (int {{part}} = 1; {{part}} < ACCS; {{part}}++) {
    {{name}}_v[0] = {{merge}};
}
{{real}}l_t {{name}}_l;
{{name}}_l.all = {{name}}_v[0];
for (int {{part}} = 0; {{part}} < LANES; {{part}}++) {
    {{name}} = {{fold}};
}
