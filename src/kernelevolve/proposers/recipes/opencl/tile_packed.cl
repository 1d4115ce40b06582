//: form contraction
//: rank 20
//: note as tile, with the operand along the columns copied into panels first: it is then read in order
// /// kernel
// language = "opencl"
// {{when}}
// [tune]
// LANES = [8, 16, 4]
// TM = [6, 12, 8, 4, 2]
// TN = [2, 1, 4]
// GROUP = [1, 8]
// {{reciprocal}}
// [scratch.{{packed}}]
// shape = ["cdiv({{host_cols}}, TN * LANES)", "{{host_k}}", "TN * LANES"]
// dtype = "{{packed_dtype}}"
// [[launch]]
// entry = "{{entry}}_pack"
// grid = ["cdiv({{host_cols}}, TN * LANES)", "cdiv({{host_k}}, 16)"]
// block = ["1", "16"]
// {{args}}
// [[launch]]
// entry = "{{entry}}"
// grid = [{{grid}}]
// block = [{{block}}]
// {{args}}
// ///
{{prelude}}
{{types}}

// One work-item per line of a panel; the last panel is filled up with copies of the last column.
__kernel void {{entry}}_pack({{parameters}}, __global {{packed_kind}} *{{packed}}) {
    const {{col_type}} {{col}}0 = get_global_id(0) * (TN * LANES);
    const {{k_type}} {{k}} = get_global_id(1);
    if ({{k}} >= {{bound}}) {
        return;
    }
    for (int {{t}} = 0; {{t}} < TN * LANES; {{t}}++) {
        const {{col_type}} {{col}} = {{col}}0 + {{t}} < {{cols}} ? {{col}}0 + {{t}} : {{cols}} - 1;
        {{packed}}[(get_global_id(0) * ({{bound}}) + {{k}}) * (TN * LANES) + {{t}}] = {{packed_value}};
    }
}

__kernel void {{entry}}({{parameters}}, __global const {{packed_kind}} *{{packed}}) {
    {{row_type}} {{row}}0 = get_global_id({{row_dimension}}) * TM;
    const {{col_type}} {{col}}0 = get_global_id({{col_dimension}}) * (TN * LANES);
    if ({{row}}0 >= {{rows}} || {{col}}0 >= {{cols}}) {
        return;
    }
    if ({{rows}} >= TM) {
        // The last tile moves back inside: it computes some results again rather than fall back to scalars.
        if ({{row}}0 + TM > {{rows}}) {
            {{row}}0 = {{rows}} - TM;
        }
        __global const {{packed_kind}} *{{panel}} = {{packed}} + (size_t){{col}}0 * ({{bound}});
        {{declare}}
        {{tile}}
        {{context}}
        {{init}}
        {{end}}
        for ({{k_type}} {{k}} = {{first}}; {{k}} < {{bound}}; {{k}}++) {
            {{tile}}
            {{context}}
            {{body}}
            {{end}}
        }
        if ({{col}}0 + TN * LANES <= {{cols}}) {
            {{tile}}
            {{context}}
            {{recall}}
            {{after}}
            {{end}}
        } else {
            for (int {{r}} = 0; {{r}} < TM; {{r}}++) {
                const {{row_type}} {{row}} = {{row}}0 + {{r}};
                for (int {{t}} = 0; {{t}} < TN * LANES && {{col}}0 + {{t}} < {{cols}}; {{t}}++) {
                    const {{col_type}} {{col}} = {{col}}0 + {{t}};
                    {{scalar_context}}
                    {{recall_one}}
                    {{scalar_after}}
                }
            }
        }
    } else {
        for ({{row_type}} {{row}} = {{row}}0; {{row}} < {{rows}} && {{row}} < {{row}}0 + TM; {{row}}++) {
            for ({{col_type}} {{col}} = {{col}}0; {{col}} < {{cols}} && {{col}} < {{col}}0 + TN * LANES; {{col}}++) {
                {{scalar}}
            }
        }
    }
}
//: block tile
#pragma unroll
for (int {{r}} = 0; {{r}} < TM; {{r}}++) {
    const {{row_type}} {{row}} = {{row}}0 + {{r}};
    #pragma unroll
    for (int {{t}} = 0; {{t}} < TN; {{t}}++) {
        const {{col_type}} {{col}} = {{col}}0 + {{t}} * LANES;
//: block end
    }
}
