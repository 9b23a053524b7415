//! Writes the part of the ONNX format that a small graph needs. Each field is a tag followed by a number, or by a
//! length and bytes.

#[derive(Default, Clone)]
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn number(mut self, field: u64, value: u64) -> Message {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    pub fn bytes(mut self, field: u64, value: impl AsRef<[u8]>) -> Message {
        self.varint(field << 3 | 2);
        self.varint(value.as_ref().len() as u64);
        self.0.extend_from_slice(value.as_ref());
        self
    }

    pub fn message(self, field: u64, value: Message) -> Message {
        self.bytes(field, value.0)
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

const FLOAT: u64 = 1;

/// ModelProto
pub fn model(graph: Message) -> Vec<u8> {
    let opset = Message::default().bytes(1, "").number(2, 11);
    Message::default()
        .number(1, 7)
        .bytes(2, "redis-image's tests")
        .message(7, graph)
        .message(8, opset)
        .0
}

/// NodeProto
pub fn node(operator: &str, inputs: &[&str], output: &str) -> Message {
    let named = inputs.iter().fold(Message::default(), |node, input| node.bytes(1, input));
    named.bytes(2, output).bytes(3, output).bytes(4, operator)
}

/// TensorProto of f32
pub fn tensor(name: &str, shape: &[u64], values: &[f32]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shaped = shape.iter().fold(Message::default(), |tensor, size| tensor.number(1, *size));
    shaped.number(2, FLOAT).bytes(8, name).bytes(9, raw)
}

/// ValueInfoProto of f32: a graph's input or output
pub fn value(name: &str, shape: &[u64]) -> Message {
    let dimensions = shape
        .iter()
        .fold(Message::default(), |all, size| all.message(1, Message::default().number(1, *size)));
    let tensor = Message::default().number(1, FLOAT).message(2, dimensions);
    Message::default().bytes(1, name).message(2, Message::default().message(1, tensor))
}
