//! Where packages come from: what an install argument means, and how its bytes get into a private spool.
