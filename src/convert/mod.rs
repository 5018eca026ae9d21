//! Policies of another product.
