//: form contraction
//: rank 10
//: note a tile of TM x (TN x LANES) results per work-item, held in registers while the summed axis runs
// /// kernel
// language = "opencl"
// {{when}}
// [tune]
// LANES = [8, 16, 4]
// TM = [6, 12, 8, 4, 2]
// TN = [2, 1, 4]
// GROUP = [1, 8]
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
    {{row_type}} {{row}}0 = get_global_id({{row_dimension}}) * TM;
    {{col_type}} {{col}}0 = get_global_id({{col_dimension}}) * (TN * LANES);
    if ({{row}}0 >= {{rows}} || {{col}}0 >= {{cols}}) {
        return;
    }
    if ({{rows}} >= TM && {{cols}} >= TN * LANES) {
        // The last tiles move back inside: they compute some results again rather than fall back to scalars.
        if ({{row}}0 + TM > {{rows}}) {
            {{row}}0 = {{rows}} - TM;
        }
        if ({{col}}0 + TN * LANES > {{cols}}) {
            {{col}}0 = {{cols}} - TN * LANES;
        }
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
        {{tile}}
        {{context}}
        {{recall}}
        {{after}}
        {{end}}
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
