//: form rows
//: rank 60
//: device discrete
//: note one work-group per row: its items take LANES columns in turn and combine their parts in local memory
// /// kernel
// language = "opencl"
// {{when}}
// [tune]
// GROUP = [64, 32, 128, 256]
// LANES = [4, 2, 8, 16]
// {{reciprocal}}
// [[launch]]
// entry = "{{entry}}"
// grid = ["{{items}}"]
// block = ["GROUP"]
// {{args}}
// ///
{{prelude}}
{{types}}

__kernel void {{entry}}({{parameters}}) {
    {{shared}}
    const {{row_type}} {{row}} = get_group_id(0);
    const int {{lane}} = get_local_id(0);
    {{statements}}
}
//: block loop
{
    {{declare}}
    for ({{type}} {{variable}} = {{first}} + {{lane}} * LANES; {{variable}} + LANES <= {{bound}}; {{variable}} += GROUP * LANES) {
        {{vector}}
    }
    {{fold}}
    for ({{type}} {{variable}} = {{first}} + (({{bound}}) - ({{first}})) / LANES * LANES + {{lane}}; {{variable}} < {{bound}}; {{variable}} += GROUP) {
        {{scalar}}
    }
    barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
    {{combine}}
}
//: block target
{{name}}_v
//: block declare
const {{real}} {{name}}_0 = {{name}};
{{name}} = {{identity}};
{{real}}v_t {{name}}_v = ({{real}}v_t)({{identity}});
//: block fold
{{real}}l_t {{name}}_l;
{{name}}_l.all = {{name}}_v;
for (int {{part}} = 0; {{part}} < LANES; {{part}}++) {
    {{name}} = {{fold}};
}
//: block combine
{{name}}_s[{{lane}}] = {{name}};
barrier(CLK_LOCAL_MEM_FENCE);
for (int {{part}} = GROUP / 2; {{part}} > 0; {{part}} /= 2) {
    if ({{lane}} < {{part}}) {
        {{name}}_s[{{lane}}] = {{tree}};
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}
{{name}} = {{whole}};
barrier(CLK_LOCAL_MEM_FENCE);
//: block shared
__local {{real}} {{name}}_s[GROUP];
//: block store
if ({{lane}} == 0) {
    {{statement}}
}
