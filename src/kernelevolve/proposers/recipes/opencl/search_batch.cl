//: form search
//: rank 10
//: note BATCH searches per work-item advance together in a fixed number of branchless steps
// /// kernel
// language = "opencl"
// {{when}}
// [tune]
// BATCH = [64, 32, 128, 16, 8, 4]
// GROUP = [16, 1, 64]
// [[launch]]
// entry = "{{entry}}"
// grid = ["cdiv({{items}}, BATCH * GROUP)"]
// block = ["GROUP"]
// {{args}}
// ///
{{prelude}}

__kernel void {{entry}}({{parameters}}) {
    const size_t {{start}} = get_global_id(0) * BATCH;
    if ({{start}} + BATCH <= {{extent}}) {
        {{carried}}
        {{index}} {{low}}_b[BATCH];
        for (int {{one}} = 0; {{one}} < BATCH; {{one}}++) {
            const {{type}} {{item}} = {{start}} + {{one}};
            {{before}}
            {{save}}
            {{low}}_b[{{one}}] = {{first}};
        }
        for ({{index}} {{length}} = ({{last}}) - ({{first}}); {{length}} > 1;) {
            const {{index}} {{step}} = {{length}} / 2;
            for (int {{one}} = 0; {{one}} < BATCH; {{one}}++) {
                {{load}}
                const {{index}} {{middle}} = {{low}}_b[{{one}}] + {{step}} - 1;
                {{low}}_b[{{one}}] += ({{right}}) ? {{step}} : 0;
            }
            {{length}} -= {{step}};
        }
        for (int {{one}} = 0; {{one}} < BATCH; {{one}}++) {
            const {{type}} {{item}} = {{start}} + {{one}};
            {{load}}
            {{index}} {{low}} = {{low}}_b[{{one}}];
            if ({{last}} > {{first}}) {
                const {{index}} {{middle}} = {{low}};
                {{low}} += ({{right}}) ? 1 : 0;
            }
            {{after}}
        }
    } else {
        for ({{type}} {{item}} = {{start}}; {{item}} < {{extent}}; {{item}}++) {
            {{scalar}}
        }
    }
}
