"""Live data: mapped classes whose changes are announced in the transaction that makes them."""
