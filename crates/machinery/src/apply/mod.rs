//! Server-side apply: who owns which field, and what happens when owners disagree.
