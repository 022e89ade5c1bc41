# A YAML reader for awk, as far as cloud-init documents need it: block and flow mappings and sequences,
# plain, quoted, literal and folded scalars, comments, the !!binary tag. No anchors, no complex keys.
#
# It reads the whole input and leaves, for the node at PATH (segments joined by "/", sequence items by their
# number, the root is ""):
#   T[PATH]  "m" mapping, "s" sequence, "v" scalar
#   V[PATH]  the scalar's text          N[PATH]  number of children
#   C[PATH, i]  key of child i of a mapping         B[PATH]  1 where the scalar was tagged !!binary
# A program that is loaded after this file uses them in END, after calling yaml().

{ sub(/\r$/, ""); if ($0 !~ /^(---|\.\.\.)([ \t]|$)/ && $0 !~ /^%/) L[++NL] = $0 }

function yaml() { ln = 1; node("", 0) }

function put(p, v) { T[p] = "v"; V[p] = v }
function indent_of(s) { match(s, /^ */); return RLENGTH }
function skip() { while (ln <= NL && L[ln] ~ /^[ \t]*(#.*)?$/) ln++ }
function is_dash(s) { return s ~ /^-([ \t]|$)/ }
function trim(s) { sub(/^[ \t\n]+/, "", s); sub(/[ \t\n]+$/, "", s); return s }
function uncomment(s) { if (match(s, /[ \t]#/)) s = substr(s, 1, RSTART - 1); return trim(s) }
function join(a, b) { return a == "" ? b : a "/" b }

# Position of the colon that ends a mapping's key at the start of s; 0 when s is no mapping entry.
function key_end(s,   q, i, c) {
    q = substr(s, 1, 1)
    if (q == "\"" || q == "'") {
        i = quote_end(s, 1)
        if (!i) return 0
        s = substr(s, i + 1)
        if (!match(s, /^[ \t]*:([ \t]|$)/)) return 0
        return i + index(s, ":")
    }
    if (q == "[" || q == "{" || q == "|" || q == ">" || q == "#") return 0
    if (!match(s, /:([ \t]|$)/)) return 0
    c = RSTART
    if (match(substr(s, 1, c), /[ \t]#/)) return 0
    return c
}

# Position of the quote that closes the one at position i of s; 0 when it stays open.
function quote_end(s, i,   q, n, c) {
    q = substr(s, i, 1); n = length(s)
    for (i++; i <= n; i++) {
        c = substr(s, i, 1)
        if (q == "\"" && c == "\\") i++
        else if (c == q) {
            if (q == "'" && substr(s, i + 1, 1) == "'") i++
            else return i
        }
    }
    return 0
}

# Text of the quoted scalar s, quotes included; line breaks inside are folded.
function unquote(s,   q, out, i, n, c) {
    q = substr(s, 1, 1); s = substr(s, 2, length(s) - 2)
    gsub(/[ \t]*\n[ \t]*/, " ", s)
    if (q == "'") { gsub(/''/, "'", s); return s }
    if (index(s, "\\") == 0) return s
    n = length(s); out = ""
    for (i = 1; i <= n; i++) {
        c = substr(s, i, 1)
        if (c != "\\") { out = out c; continue }
        c = substr(s, ++i, 1)
        if (c == "n") out = out "\n"
        else if (c == "t") out = out "\t"
        else if (c == "r") out = out "\r"
        else if (c == "e") out = out "\033"
        else if (c == "0") out = out ""
        else if (c == "x") { out = out sprintf("%c", hex(substr(s, i + 1, 2))); i += 2 }
        else if (c == "u") { out = out utf8(hex(substr(s, i + 1, 4))); i += 4 }
        else out = out c
    }
    return out
}

function hex(s,   i, n) {
    n = 0; s = tolower(s)
    for (i = 1; i <= length(s); i++) n = n * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
    return n
}

function utf8(n) {
    if (n < 128) return sprintf("%c", n)
    if (n < 2048) return sprintf("%c%c", 192 + int(n / 64), 128 + n % 64)
    return sprintf("%c%c%c", 224 + int(n / 4096), 128 + int(n / 64) % 64, 128 + n % 64)
}

# Reads the node that starts at the current line, if that is indented by min or more.
function node(p, min,   i, s) {
    skip()
    if (ln > NL || indent_of(L[ln]) < min) { put(p, ""); return }
    i = indent_of(L[ln]); s = substr(L[ln], i + 1)
    if (is_dash(s)) sequence(p, i)
    else if (key_end(s)) mapping(p, i)
    else inline(p, s, min - 1)
}

function sequence(p, i,   n, s, child) {
    T[p] = "s"; n = 0
    for (;;) {
        skip()
        if (ln > NL || indent_of(L[ln]) != i || !is_dash(substr(L[ln], i + 1))) break
        child = join(p, n++)
        L[ln] = substr(L[ln], 1, i) " " substr(L[ln], i + 2)
        s = trim(L[ln])
        if (s == "" || s ~ /^#/) { ln++; node(child, i + 1) }
        else if (is_dash(s) || key_end(s)) node(child, i + 1)
        else inline(child, s, i)
    }
    N[p] = n
}

function mapping(p, i,   n, s, k, key, child) {
    T[p] = "m"; n = 0
    for (;;) {
        skip()
        if (ln > NL || indent_of(L[ln]) != i) break
        s = substr(L[ln], i + 1)
        if (is_dash(s)) break
        k = key_end(s)
        if (!k) { ln++; continue }
        key = trim(substr(s, 1, k - 1))
        if (key ~ /^["']/) key = unquote(key)
        C[p, n++] = key; child = join(p, key); s = trim(substr(s, k + 1))
        if (s == "" || s ~ /^#/) {
            ln++; skip()
            if (ln <= NL && indent_of(L[ln]) > i) node(child, i + 1)
            else if (ln <= NL && indent_of(L[ln]) == i && is_dash(substr(L[ln], i + 1))) sequence(child, i)
            else put(child, "")
        } else inline(child, s, i)
    }
    N[p] = n
}

# Reads a node that begins with s on the current line, inside a parent that is indented by i.
function inline(p, s, i,   c) {
    if (match(s, /^![^ \t]*[ \t]*/)) {
        if (s ~ /^!!binary/) B[p] = 1
        s = substr(s, RLENGTH + 1)
    }
    c = substr(s, 1, 1)
    if (s ~ /^[|>][-+0-9]*([ \t]+#.*)?$/) { block(p, s, i); return }
    if (c == "[" || c == "{") {
        F = s; ln++
        while (!balanced(F) && ln <= NL) F = F "\n" L[ln++]
        P = 1; flow(p); return
    }
    if (c == "\"" || c == "'") {
        ln++
        while (!quote_end(s, 1) && ln <= NL) s = s "\n" L[ln++]
        put(p, unquote(substr(s, 1, quote_end(s, 1)))); return
    }
    s = uncomment(s); ln++
    while (ln <= NL && L[ln] !~ /^[ \t]*(#.*)?$/ && indent_of(L[ln]) > i) s = s " " uncomment(L[ln++])
    if (s == "~" || s == "null") s = ""
    put(p, s)
}

# Reads a literal (|) or folded (>) scalar whose header is on the current line.
function block(p, head, i,   fold, chomp, in_, s, text, blank, more) {
    fold = head ~ /^>/; chomp = head ~ /-/ ? "-" : (head ~ /\+/ ? "+" : "")
    in_ = match(head, /[1-9]/) ? i + substr(head, RSTART, 1) : 0
    text = ""; blank = 0; more = 0
    for (ln++; ln <= NL; ln++) {
        s = L[ln]
        if (s ~ /^[ \t]*$/ && (!in_ || length(s) <= in_)) { blank++; continue }
        if (!in_) in_ = indent_of(s)
        if (in_ <= i || indent_of(s) < in_) break
        s = substr(s, in_ + 1)
        if (more) {
            if (!fold || s ~ /^[ \t]/) text = text "\n"
            else if (!blank) text = text " "
        }
        while (blank > 0) { text = text "\n"; blank-- }
        text = text s; more = 1
    }
    if (chomp != "-" && more) text = text "\n"
    if (chomp == "+") while (blank-- > 0) text = text "\n"
    put(p, text)
}

function balanced(s,   i, n, c, depth) {
    n = length(s); depth = 0
    for (i = 1; i <= n; i++) {
        c = substr(s, i, 1)
        if (c == "\"" || c == "'") { i = quote_end(s, i); if (!i) return 0 }
        else if (c == "[" || c == "{") depth++
        else if (c == "]" || c == "}") depth--
    }
    return depth <= 0
}

function flow_space() { while (substr(F, P, 1) ~ /[ \t\n]/ && P <= length(F)) P++ }

# Reads the flow node at position P of F.
function flow(p,   c, n, key, start, s) {
    flow_space(); c = substr(F, P, 1); n = 0
    if (c == "[") {
        T[p] = "s"; P++
        for (;;) {
            flow_space(); c = substr(F, P, 1)
            if (c == "," ) { P++; continue }
            if (c == "]" || c == "") { P++; break }
            start = P; flow(join(p, n++)); if (P == start) P++
        }
        N[p] = n
    } else if (c == "{") {
        T[p] = "m"; P++
        for (;;) {
            flow_space(); c = substr(F, P, 1)
            if (c == "," ) { P++; continue }
            if (c == "}" || c == "") { P++; break }
            start = P; key = flow_scalar(1); if (P == start) P++; flow_space()
            C[p, n++] = key
            if (substr(F, P, 1) == ":") { P++; flow(join(p, key)) } else put(join(p, key), "")
        }
        N[p] = n
    } else { s = flow_scalar(0); put(p, s) }
}

function flow_scalar(is_key,   c, e, s) {
    c = substr(F, P, 1)
    if (c == "\"" || c == "'") { e = quote_end(F, P); s = unquote(substr(F, P, e - P + 1)); P = e + 1; return s }
    s = substr(F, P)
    if (match(s, is_key ? ",|\\]|\\}|:([ \t\n]|$)" : ",|\\]|\\}")) s = substr(s, 1, RSTART - 1)
    P += length(s); s = trim(s)
    return s == "null" || s == "~" ? "" : s
}
